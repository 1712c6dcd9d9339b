#!/usr/bin/env bash
# Purpose: answer the test split of radiology-like drawings made by this program, for the demo and
#     for tests, also with blank images, and score it.
# Prerequisites: a folder made by train_phantoms.sh
# Command: bash run_scripts/vqa/evaluate_phantoms.sh --data DATA --save-dir RUN [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_phantoms.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate phantoms "$@"
