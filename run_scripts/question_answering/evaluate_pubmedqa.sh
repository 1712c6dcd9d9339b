#!/usr/bin/env bash
# Purpose: answer the test split of PubMedQA, and score it.
# Prerequisites: a folder made by train_pubmedqa.sh
# Command: bash run_scripts/question_answering/evaluate_pubmedqa.sh --data DATA --save-dir RUN
#     [--help]
# Output: predictions.jsonl, score.json in RUN.
# Expected score: see train_pubmedqa.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate pubmedqa "$@"
