#!/usr/bin/env bash
# Purpose:        judge the texts of the test split of SEER: which treatment a cancer registry's
#                 record is followed by and score the answers over all folds.
# Prerequisites:  a folder made by train_seer.sh
# Command:        bash run_scripts/understanding/evaluate_seer.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--fold N] [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/foldN/predictions.jsonl, score.json and the table.
# Expected score: see train_seer.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate seer "$@"
