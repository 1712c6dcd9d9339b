#!/usr/bin/env bash
# Purpose:        train to answer questions about images on data of your own.
# Prerequisites:  biomedgpt data import --table TABLE.csv --images IMAGE_DIR --task vqa --columns
#                 ... --out DATA_DIR (biomedgpt data import --help).
# Command:        bash run_scripts/vqa/train_own.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: above the baselines that the evaluation prints beside it.
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train own-vqa "$@"
