#!/usr/bin/env bash
# Purpose: train on SEER: which treatment a cancer registry's record is followed by.
# Prerequisites: biomedgpt data prepare seer --raw RAW_DIR --out DATA (see datasets/seer/)
# Command: bash run_scripts/understanding/train_seer.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--fold=N] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN/fold0 to fold9.
# Expected score: BiomedGPT-B accuracy 0.500 ± 0.053 (Zhang et al., Nature Medicine 2024, as quoted
#     in reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train seer "$@"
