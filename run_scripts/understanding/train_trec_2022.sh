#!/usr/bin/env bash
# Purpose: train on TREC 2022 Clinical Trials: does a patient qualify for a trial.
# Prerequisites: biomedgpt data prepare trec-2022 --raw RAW_DIR --out DATA (see datasets/trec-2022/)
# Command: bash run_scripts/understanding/train_trec_2022.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--fold=N] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN/fold0 to fold9.
# Expected score: BiomedGPT-B accuracy 0.852 ± 0.015 (Zhang et al., Nature Medicine 2024, as quoted
#     in reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train trec-2022 "$@"
