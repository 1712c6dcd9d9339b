#!/usr/bin/env bash
# Purpose: answer the test split of CBIS-DDSM calcifications, also with blank images, and score it.
# Prerequisites: a folder made by train_cbis_ddsm_calc.sh
# Command: bash run_scripts/classification/evaluate_cbis_ddsm_calc.sh --data DATA --save-dir RUN
#     [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_cbis_ddsm_calc.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate cbis-ddsm-calc "$@"
