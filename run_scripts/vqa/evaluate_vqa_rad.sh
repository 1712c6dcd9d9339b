#!/usr/bin/env bash
# Purpose: answer the test split of VQA-RAD, also with blank images, and score it.
# Prerequisites: a folder made by train_vqa_rad.sh
# Command: bash run_scripts/vqa/evaluate_vqa_rad.sh --data DATA --save-dir RUN [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_vqa_rad.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate vqa-rad "$@"
