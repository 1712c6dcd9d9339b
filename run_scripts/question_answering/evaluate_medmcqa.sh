#!/usr/bin/env bash
# Purpose: answer the test split of MedMCQA, and score it.
# Prerequisites: a folder made by train_medmcqa.sh
# Command: bash run_scripts/question_answering/evaluate_medmcqa.sh --data DATA --save-dir RUN
#     [--help]
# Output: predictions.jsonl, score.json in RUN.
# Expected score: see train_medmcqa.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate medmcqa "$@"
