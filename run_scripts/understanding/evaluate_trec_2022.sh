#!/usr/bin/env bash
# Purpose:        judge the texts of the test split of TREC 2022 Clinical Trials: does a patient
#                 qualify for a trial and score the answers over all folds.
# Prerequisites:  a folder made by train_trec_2022.sh
# Command:        bash run_scripts/understanding/evaluate_trec_2022.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--fold N] [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/foldN/predictions.jsonl, score.json and the table.
# Expected score: see train_trec_2022.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate trec-2022 "$@"
