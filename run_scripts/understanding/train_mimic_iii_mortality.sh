#!/usr/bin/env bash
# Purpose: train on MIMIC-III: death in hospital, judged by the note on admission.
# Prerequisites: biomedgpt data prepare mimic-iii-mortality --raw RAW_DIR --out DATA (see
#     datasets/mimic-iii-mortality/)
# Command: bash run_scripts/understanding/train_mimic_iii_mortality.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B accuracy 0.895 (Zhang et al., Nature Medicine 2024, as quoted in
#     reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train mimic-iii-mortality "$@"
