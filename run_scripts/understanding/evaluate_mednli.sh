#!/usr/bin/env bash
# Purpose:        judge the texts of the test split of MedNLI: inference between sentences of
#                 clinical notes and score the answers.
# Prerequisites:  a folder made by train_mednli.sh
# Command:        bash run_scripts/understanding/evaluate_mednli.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, score.json and the table.
# Expected score: see train_mednli.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate mednli "$@"
