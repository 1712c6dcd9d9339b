#!/usr/bin/env bash
# Purpose:        answer questions about images of the test split of SLAKE: questions about
#                 radiology images, with and without medical knowledge, with the images and with
#                 blank ones, and score both.
# Prerequisites:  a folder made by train_slake.sh
# Command:        bash run_scripts/vqa/evaluate_slake.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, predictions_blank.jsonl, score.json and the table.
# Expected score: see train_slake.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate slake "$@"
