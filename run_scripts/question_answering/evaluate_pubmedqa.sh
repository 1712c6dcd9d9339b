#!/usr/bin/env bash
# Purpose:        answer the questions of the test split of PubMedQA: yes, no or maybe from an
#                 abstract and score the answers.
# Prerequisites:  a folder made by train_pubmedqa.sh
# Command:        bash run_scripts/question_answering/evaluate_pubmedqa.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, score.json and the table.
# Expected score: see train_pubmedqa.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate pubmedqa "$@"
