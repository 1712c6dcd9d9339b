#!/usr/bin/env bash
# Purpose:        classify the images of the test split of PathMNIST: nine kinds of tissue in
#                 histology of colorectal cancer, with the images and with blank ones, and score
#                 both.
# Prerequisites:  a folder made by train_pathmnist.sh
# Command:        bash run_scripts/classification/evaluate_pathmnist.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, predictions_blank.jsonl, score.json and the table.
# Expected score: see train_pathmnist.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate pathmnist "$@"
