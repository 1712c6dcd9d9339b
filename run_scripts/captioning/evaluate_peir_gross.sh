#!/usr/bin/env bash
# Purpose: answer the test split of PEIR Gross, also with blank images, and score it.
# Prerequisites: a folder made by train_peir_gross.sh
# Command: bash run_scripts/captioning/evaluate_peir_gross.sh --data DATA --save-dir RUN [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_peir_gross.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate peir-gross "$@"
