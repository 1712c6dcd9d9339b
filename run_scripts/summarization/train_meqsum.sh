#!/usr/bin/env bash
# Purpose: train on MeQSum: summaries of consumers' health questions.
# Prerequisites: biomedgpt data prepare meqsum --raw RAW_DIR --out DATA (see datasets/meqsum/)
# Command: bash run_scripts/summarization/train_meqsum.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B ROUGE-L 0.523, prior best there ROUGE-L 0.532 (Zhang et al., Nature
#     Medicine 2024, as quoted in reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train meqsum "$@"
