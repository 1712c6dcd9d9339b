#!/usr/bin/env bash
# Purpose: train on CBIS-DDSM masses: benign or malignant masses in mammograms.
# Prerequisites: biomedgpt data prepare cbis-ddsm-mass --raw RAW_DIR --out DATA (see
#     datasets/cbis-ddsm-mass/)
# Command: bash run_scripts/classification/train_cbis_ddsm_mass.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B macro F1 0.511 (Zhang et al., Nature Medicine 2024, as quoted in
#     reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train cbis-ddsm-mass "$@"
