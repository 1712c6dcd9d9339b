#!/usr/bin/env bash
# Purpose:        answer the test questions about the phantoms, with the images and with blank
#                 ones, and score both beside the majority answers.
# Prerequisites:  a folder made by train_phantoms.sh
# Command:        bash run_scripts/vqa/evaluate_phantoms.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, predictions_blank.jsonl, score.json and the table.
# Expected score: see train_phantoms.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate phantoms "$@"
