#!/usr/bin/env bash
# Purpose: train on BreastMNIST: malignant tumours in breast ultrasound.
# Prerequisites: biomedgpt data prepare breastmnist --raw RAW_DIR --out DATA (see
#     datasets/breastmnist/)
# Command: bash run_scripts/classification/train_breastmnist.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: ResNet-18 (28 px) accuracy 0.863 (Yang et al., Scientific Data 10, 41 (2023)).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train breastmnist "$@"
