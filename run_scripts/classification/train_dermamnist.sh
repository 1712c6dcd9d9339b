#!/usr/bin/env bash
# Purpose: train on DermaMNIST: seven kinds of pigmented skin lesions.
# Prerequisites: biomedgpt data prepare dermamnist --raw RAW_DIR --out DATA (see
#     datasets/dermamnist/)
# Command: bash run_scripts/classification/train_dermamnist.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: ResNet-18 (28 px) accuracy 0.735 (Yang et al., Scientific Data 10, 41 (2023)).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train dermamnist "$@"
