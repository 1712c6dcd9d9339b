#!/usr/bin/env bash
# Purpose:        classify the images of the test split of SZ-CXR: tuberculosis in chest X-rays from
#                 Shenzhen, with the images and with blank ones, and score both.
# Prerequisites:  a folder made by train_sz_cxr.sh
# Command:        bash run_scripts/classification/evaluate_sz_cxr.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, predictions_blank.jsonl, score.json and the table.
# Expected score: see train_sz_cxr.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate sz-cxr "$@"
