#!/usr/bin/env bash
# Purpose: train on PathMNIST: nine kinds of tissue in histology of colorectal cancer.
# Prerequisites: biomedgpt data prepare pathmnist --raw RAW_DIR --out DATA (see datasets/pathmnist/)
# Command: bash run_scripts/classification/train_pathmnist.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: ResNet-18 (28 px) accuracy 0.907 (Yang et al., Scientific Data 10, 41 (2023)).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train pathmnist "$@"
