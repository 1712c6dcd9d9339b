#!/usr/bin/env bash
# Purpose: train on data of your own (text understanding).
# Prerequisites: biomedgpt data import --table TABLE --task
#     entailment|trial_matching|treatment_suggestion|mortality --columns ... --out DATA
# Command: bash run_scripts/understanding/train_own.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: above the baseline, which is printed beside it.
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train own-understanding "$@"
