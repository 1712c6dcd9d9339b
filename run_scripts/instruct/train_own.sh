#!/usr/bin/env bash
# Purpose: train on data of your own (answers to instructions).
# Prerequisites: biomedgpt data prepare biomed-vital|llava-med|llama3-med|pubmedvision|medmax, or
#     biomedgpt data import --table TABLE --images IMAGES --task instruction --columns ... --out
#     DATA
# Command: bash run_scripts/instruct/train_own.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: above that with blank images, which is printed beside it.
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train own-instruct "$@"
