#!/usr/bin/env bash
# Purpose:        caption the images of the test split of IU X-ray: chest X-rays of Indiana
#                 University with impression and findings, with the images and with blank ones, and
#                 score both.
# Prerequisites:  a folder made by train_iu_xray.sh
# Command:        bash run_scripts/captioning/evaluate_iu_xray.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, predictions_blank.jsonl, score.json and the table.
# Expected score: see train_iu_xray.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate iu-xray "$@"
