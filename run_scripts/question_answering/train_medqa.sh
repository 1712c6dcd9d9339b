#!/usr/bin/env bash
# Purpose: train on MedQA-USMLE: questions of US medical licensing exams, four options.
# Prerequisites: biomedgpt data prepare medqa --raw RAW_DIR --out DATA (see datasets/medqa/)
# Command: bash run_scripts/question_answering/train_medqa.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BioLinkBERT-large accuracy 0.446 (Yasunaga et al., ACL 2022).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train medqa "$@"
