#!/usr/bin/env bash
# Purpose: answer the test split of BloodMNIST, also with blank images, and score it.
# Prerequisites: a folder made by train_bloodmnist.sh
# Command: bash run_scripts/classification/evaluate_bloodmnist.sh --data DATA --save-dir RUN
#     [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_bloodmnist.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate bloodmnist "$@"
