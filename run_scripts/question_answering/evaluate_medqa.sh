#!/usr/bin/env bash
# Purpose: answer the test split of MedQA-USMLE, and score it.
# Prerequisites: a folder made by train_medqa.sh
# Command: bash run_scripts/question_answering/evaluate_medqa.sh --data DATA --save-dir RUN [--help]
# Output: predictions.jsonl, score.json in RUN.
# Expected score: see train_medqa.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate medqa "$@"
