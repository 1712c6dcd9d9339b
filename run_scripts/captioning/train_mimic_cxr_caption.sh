#!/usr/bin/env bash
# Purpose: train on MIMIC-CXR: the findings of a chest X-ray report from the image.
# Prerequisites: biomedgpt data prepare mimic-cxr-caption --raw RAW_DIR --out DATA (see
#     datasets/mimic-cxr-caption/)
# Command: bash run_scripts/captioning/train_mimic_cxr_caption.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B METEOR 0.159 (Zhang et al., Nature Medicine 2024, as quoted in
#     reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train mimic-cxr-caption "$@"
