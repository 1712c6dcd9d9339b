#!/usr/bin/env bash
# Purpose: answer the test split of MIMIC-III, and score it.
# Prerequisites: a folder made by train_mimic_iii_summary.sh
# Command: bash run_scripts/summarization/evaluate_mimic_iii_summary.sh --data DATA --save-dir RUN
#     [--help]
# Output: predictions.jsonl, score.json in RUN.
# Expected score: see train_mimic_iii_summary.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate mimic-iii-summary "$@"
