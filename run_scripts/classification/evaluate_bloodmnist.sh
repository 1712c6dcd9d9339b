#!/usr/bin/env bash
# Purpose:        classify the images of the test split of BloodMNIST: eight kinds of blood cells
#                 under the microscope, with the images and with blank ones, and score both.
# Prerequisites:  a folder made by train_bloodmnist.sh
# Command:        bash run_scripts/classification/evaluate_bloodmnist.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, predictions_blank.jsonl, score.json and the table.
# Expected score: see train_bloodmnist.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate bloodmnist "$@"
