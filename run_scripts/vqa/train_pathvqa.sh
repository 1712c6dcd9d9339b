#!/usr/bin/env bash
# Purpose: train on PathVQA: questions about pathology images from textbooks.
# Prerequisites: biomedgpt data prepare pathvqa --raw RAW_DIR --out DATA (see datasets/pathvqa/)
# Command: bash run_scripts/vqa/train_pathvqa.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B accuracy, closed 0.880, BiomedGPT-B accuracy, open 0.280 (Zhang et
#     al., Nature Medicine 2024, as quoted in reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train pathvqa "$@"
