#!/usr/bin/env bash
# Purpose: train on radiology-like drawings made by this program, for the demo and for tests.
# Prerequisites: biomedgpt data prepare phantoms --out DATA (see datasets/phantoms/)
# Command: bash run_scripts/vqa/train_phantoms.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: Accuracy of at least 0.90 on unseen phantoms, at least 0.30 above the score with
#     blank images (size nano, our own aim for this data).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train phantoms "$@"
