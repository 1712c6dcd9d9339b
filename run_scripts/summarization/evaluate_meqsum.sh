#!/usr/bin/env bash
# Purpose: answer the test split of MeQSum, and score it.
# Prerequisites: a folder made by train_meqsum.sh
# Command: bash run_scripts/summarization/evaluate_meqsum.sh --data DATA --save-dir RUN [--help]
# Output: predictions.jsonl, score.json in RUN.
# Expected score: see train_meqsum.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate meqsum "$@"
