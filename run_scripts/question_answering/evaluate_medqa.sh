#!/usr/bin/env bash
# Purpose:        answer the questions of the test split of MedQA-USMLE: questions of US medical
#                 licensing exams, four options and score the answers.
# Prerequisites:  a folder made by train_medqa.sh
# Command:        bash run_scripts/question_answering/evaluate_medqa.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, score.json and the table.
# Expected score: see train_medqa.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate medqa "$@"
