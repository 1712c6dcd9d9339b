#!/usr/bin/env bash
# Purpose: train on BioASQ 7b: yes or no from snippets of abstracts.
# Prerequisites: biomedgpt data prepare bioasq --raw RAW_DIR --out DATA (see datasets/bioasq/)
# Command: bash run_scripts/question_answering/train_bioasq.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BioLinkBERT-large accuracy 0.948 (Yasunaga et al., ACL 2022).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train bioasq "$@"
