#!/usr/bin/env bash
# Purpose:        judge the texts of the test split of MIMIC-III: death in hospital, judged by the
#                 note on admission and score the answers.
# Prerequisites:  a folder made by train_mimic_iii_mortality.sh
# Command:        bash run_scripts/understanding/evaluate_mimic_iii_mortality.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, score.json and the table.
# Expected score: see train_mimic_iii_mortality.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate mimic-iii-mortality "$@"
