#!/usr/bin/env bash
# Purpose:        answer questions about images of the test split of PathVQA: questions about
#                 pathology images from textbooks, with the images and with blank ones, and score
#                 both.
# Prerequisites:  a folder made by train_pathvqa.sh
# Command:        bash run_scripts/vqa/evaluate_pathvqa.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, predictions_blank.jsonl, score.json and the table.
# Expected score: see train_pathvqa.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate pathvqa "$@"
