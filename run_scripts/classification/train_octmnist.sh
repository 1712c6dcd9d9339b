#!/usr/bin/env bash
# Purpose: train on OCTMNIST: retinal diseases in optical coherence tomography.
# Prerequisites: biomedgpt data prepare octmnist --raw RAW_DIR --out DATA (see datasets/octmnist/)
# Command: bash run_scripts/classification/train_octmnist.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: ResNet-18 (28 px) accuracy 0.743 (Yang et al., Scientific Data 10, 41 (2023)).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train octmnist "$@"
