#!/usr/bin/env bash
# Purpose: train on MIMIC-CXR: the impression of a chest X-ray report from its findings.
# Prerequisites: biomedgpt data prepare mimic-cxr-summary --raw RAW_DIR --out DATA (see
#     datasets/mimic-cxr-summary/)
# Command: bash run_scripts/summarization/train_mimic_cxr_summary.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B ROUGE-L 0.444, prior best there ROUGE-L 0.445 (Zhang et al., Nature
#     Medicine 2024, as quoted in reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train mimic-cxr-summary "$@"
