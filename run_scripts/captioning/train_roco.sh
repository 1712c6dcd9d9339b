#!/usr/bin/env bash
# Purpose: train on ROCO: radiology figures of open-access articles with their captions.
# Prerequisites: biomedgpt data prepare roco --raw RAW_DIR --out DATA (see datasets/roco/)
# Command: bash run_scripts/captioning/train_roco.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: none is published that we know of.
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train roco "$@"
