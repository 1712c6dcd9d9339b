#!/usr/bin/env bash
# Purpose: answer the test split of TREC 2022 Clinical Trials, and score it.
# Prerequisites: a folder made by train_trec_2022.sh
# Command: bash run_scripts/understanding/evaluate_trec_2022.sh --data DATA --save-dir RUN
#     [--fold=N] [--help]
# Output: foldN/predictions.jsonl, score.json in RUN.
# Expected score: see train_trec_2022.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate trec-2022 "$@"
