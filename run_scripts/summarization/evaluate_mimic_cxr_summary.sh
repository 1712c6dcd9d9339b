#!/usr/bin/env bash
# Purpose: answer the test split of MIMIC-CXR, and score it.
# Prerequisites: a folder made by train_mimic_cxr_summary.sh
# Command: bash run_scripts/summarization/evaluate_mimic_cxr_summary.sh --data DATA --save-dir RUN
#     [--help]
# Output: predictions.jsonl, score.json in RUN.
# Expected score: see train_mimic_cxr_summary.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate mimic-cxr-summary "$@"
