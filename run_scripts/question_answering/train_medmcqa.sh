#!/usr/bin/env bash
# Purpose: train on MedMCQA: questions of Indian medical entrance exams.
# Prerequisites: biomedgpt data prepare medmcqa --raw RAW_DIR --out DATA (see datasets/medmcqa/)
# Command: bash run_scripts/question_answering/train_medmcqa.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: none is published that we know of.
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train medmcqa "$@"
