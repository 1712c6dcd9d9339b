#!/usr/bin/env bash
# Purpose: answer the test split of SEER, and score it.
# Prerequisites: a folder made by train_seer.sh
# Command: bash run_scripts/understanding/evaluate_seer.sh --data DATA --save-dir RUN [--fold=N]
#     [--help]
# Output: foldN/predictions.jsonl, score.json in RUN.
# Expected score: see train_seer.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate seer "$@"
