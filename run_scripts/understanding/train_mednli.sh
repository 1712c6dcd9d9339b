#!/usr/bin/env bash
# Purpose: train on MedNLI: inference between sentences of clinical notes.
# Prerequisites: biomedgpt data prepare mednli --raw RAW_DIR --out DATA (see datasets/mednli/)
# Command: bash run_scripts/understanding/train_mednli.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B accuracy 0.838, prior best accuracy 0.866 (Zhang et al., Nature
#     Medicine 2024, as quoted in reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train mednli "$@"
