#!/usr/bin/env bash
# Purpose:        judge texts (entailment, trial matching, treatment suggestion, mortality) of your
#                 own test split and score the answers.
# Prerequisites:  a folder made by train_own.sh
# Command:        bash run_scripts/understanding/evaluate_own.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, score.json and the table.
# Expected score: above the baselines that are printed beside it.
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate own-understanding "$@"
