#!/usr/bin/env bash
# Purpose:        answer the test split of any prepared instruction data, with the images and with
#                 blank ones, and score both.
# Prerequisites:  a folder made by train_own.sh
# Command:        bash run_scripts/instruct/evaluate_own.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, predictions_blank.jsonl, score.json and the table.
# Expected score: above that with blank images, which is printed beside it.
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate own-instruct "$@"
