#!/usr/bin/env bash
# Purpose: train on MIMIC-III: impressions of radiology reports from their findings.
# Prerequisites: biomedgpt data prepare mimic-iii-summary --raw RAW_DIR --out DATA (see
#     datasets/mimic-iii-summary/)
# Command: bash run_scripts/summarization/train_mimic_iii_summary.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B ROUGE-L 0.307 (Zhang et al., Nature Medicine 2024, as quoted in
#     reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train mimic-iii-summary "$@"
