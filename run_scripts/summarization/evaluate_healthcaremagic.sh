#!/usr/bin/env bash
# Purpose:        summarize the texts of the test split of HealthCareMagic: patients' questions to
#                 doctors, summarized in a line (MedDialog) and score the answers.
# Prerequisites:  a folder made by train_healthcaremagic.sh
# Command:        bash run_scripts/summarization/evaluate_healthcaremagic.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, score.json and the table.
# Expected score: see train_healthcaremagic.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate healthcaremagic "$@"
