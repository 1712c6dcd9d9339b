#!/usr/bin/env bash
# Purpose: answer the test split of MIMIC-CXR, also with blank images, and score it.
# Prerequisites: a folder made by train_mimic_cxr_caption.sh
# Command: bash run_scripts/captioning/evaluate_mimic_cxr_caption.sh --data DATA --save-dir RUN
#     [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_mimic_cxr_caption.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate mimic-cxr-caption "$@"
