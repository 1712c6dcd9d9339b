#!/usr/bin/env bash
# Purpose:        train on the phantoms, radiology-like drawings of our own, to see the whole path
#                 work on a laptop without any download.
# Prerequisites:  biomedgpt data prepare phantoms --out DATA_DIR
# Command:        bash run_scripts/vqa/train_phantoms.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|...] [--smoke] [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: accuracy of at least 0.90 on unseen phantoms, at least 0.30 above the score with
#                 blank images (size nano, our own aim for this data).
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train phantoms "$@"
