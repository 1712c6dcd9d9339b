#!/usr/bin/env bash
# Purpose: answer the test split of BioMed-VITAL, also with blank images, and score it.
# Prerequisites: a folder made by train_biomed_vital.sh
# Command: bash run_scripts/instruct/evaluate_biomed_vital.sh --data DATA --save-dir RUN [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_biomed_vital.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate biomed-vital "$@"
