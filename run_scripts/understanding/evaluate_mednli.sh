#!/usr/bin/env bash
# Purpose: answer the test split of MedNLI, and score it.
# Prerequisites: a folder made by train_mednli.sh
# Command: bash run_scripts/understanding/evaluate_mednli.sh --data DATA --save-dir RUN [--help]
# Output: predictions.jsonl, score.json in RUN.
# Expected score: see train_mednli.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate mednli "$@"
