#!/usr/bin/env bash
# Purpose: answer the test split of BioASQ 7b, and score it.
# Prerequisites: a folder made by train_bioasq.sh
# Command: bash run_scripts/question_answering/evaluate_bioasq.sh --data DATA --save-dir RUN
#     [--help]
# Output: predictions.jsonl, score.json in RUN.
# Expected score: see train_bioasq.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate bioasq "$@"
