#!/usr/bin/env bash
# Purpose: answer the test split of CBIS-DDSM masses, also with blank images, and score it.
# Prerequisites: a folder made by train_cbis_ddsm_mass.sh
# Command: bash run_scripts/classification/evaluate_cbis_ddsm_mass.sh --data DATA --save-dir RUN
#     [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_cbis_ddsm_mass.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate cbis-ddsm-mass "$@"
