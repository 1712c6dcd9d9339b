#!/usr/bin/env bash
# Purpose: train on SLAKE: questions about radiology images, with and without medical knowledge.
# Prerequisites: biomedgpt data prepare slake --raw RAW_DIR --out DATA (see datasets/slake/)
# Command: bash run_scripts/vqa/train_slake.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B accuracy 0.861, BiomedGPT-B accuracy, open 0.843 (Zhang et al., Nature
#     Medicine 2024, as quoted in reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train slake "$@"
