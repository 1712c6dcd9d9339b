#!/usr/bin/env bash
# Purpose: train on BloodMNIST: eight kinds of blood cells under the microscope.
# Prerequisites: biomedgpt data prepare bloodmnist --raw RAW_DIR --out DATA (see
#     datasets/bloodmnist/)
# Command: bash run_scripts/classification/train_bloodmnist.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: none is published that we know of.
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train bloodmnist "$@"
