#!/usr/bin/env bash
# Purpose: answer the test split of HealthCareMagic, and score it.
# Prerequisites: a folder made by train_healthcaremagic.sh
# Command: bash run_scripts/summarization/evaluate_healthcaremagic.sh --data DATA --save-dir RUN
#     [--help]
# Output: predictions.jsonl, score.json in RUN.
# Expected score: see train_healthcaremagic.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate healthcaremagic "$@"
