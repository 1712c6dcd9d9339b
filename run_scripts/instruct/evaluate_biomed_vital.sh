#!/usr/bin/env bash
# Purpose:        answer the held-out dialogues of BioMed-VITAL, with the images and with blank ones,
#                 and score both.
# Prerequisites:  a folder made by train_biomed_vital.sh
# Command:        bash run_scripts/instruct/evaluate_biomed_vital.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, predictions_blank.jsonl, score.json and the table.
# Expected score: see train_biomed_vital.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate biomed-vital "$@"
