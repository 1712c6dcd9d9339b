#!/usr/bin/env bash
# Purpose:        caption the images of the test split of MIMIC-CXR: the findings of a chest X-ray
#                 report from the image, with the images and with blank ones, and score both.
# Prerequisites:  a folder made by train_mimic_cxr_caption.sh
# Command:        bash run_scripts/captioning/evaluate_mimic_cxr_caption.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, predictions_blank.jsonl, score.json and the table.
# Expected score: see train_mimic_cxr_caption.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate mimic-cxr-caption "$@"
