#!/usr/bin/env bash
# Purpose: answer the test split of ROCO, also with blank images, and score it.
# Prerequisites: a folder made by train_roco.sh
# Command: bash run_scripts/captioning/evaluate_roco.sh --data DATA --save-dir RUN [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_roco.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate roco "$@"
