#!/usr/bin/env bash
# Purpose: answer the test split of data of your own (visual question answering), also with blank
#     images, and score it.
# Prerequisites: a folder made by train_own.sh
# Command: bash run_scripts/vqa/evaluate_own.sh --data DATA --save-dir RUN [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_own.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate own-vqa "$@"
