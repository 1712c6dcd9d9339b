#!/usr/bin/env bash
# Purpose: train on MC-CXR: tuberculosis in chest X-rays from Montgomery County.
# Prerequisites: biomedgpt data prepare mc-cxr --raw RAW_DIR --out DATA (see datasets/mc-cxr/)
# Command: bash run_scripts/classification/train_mc_cxr.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B accuracy 0.897 (Zhang et al., Nature Medicine 2024, as quoted in
#     reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train mc-cxr "$@"
