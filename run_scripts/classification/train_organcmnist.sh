#!/usr/bin/env bash
# Purpose: train on OrganCMNIST: eleven organs in coronal CT.
# Prerequisites: biomedgpt data prepare organcmnist --raw RAW_DIR --out DATA (see
#     datasets/organcmnist/)
# Command: bash run_scripts/classification/train_organcmnist.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B accuracy 0.910 (Zhang et al., Nature Medicine 2024, as quoted in
#     reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train organcmnist "$@"
