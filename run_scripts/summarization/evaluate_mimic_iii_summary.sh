#!/usr/bin/env bash
# Purpose:        summarize the texts of the test split of MIMIC-III: impressions of radiology
#                 reports from their findings and score the answers.
# Prerequisites:  a folder made by train_mimic_iii_summary.sh
# Command:        bash run_scripts/summarization/evaluate_mimic_iii_summary.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, score.json and the table.
# Expected score: see train_mimic_iii_summary.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate mimic-iii-summary "$@"
