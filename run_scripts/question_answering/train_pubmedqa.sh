#!/usr/bin/env bash
# Purpose: train on PubMedQA: yes, no or maybe from an abstract.
# Prerequisites: biomedgpt data prepare pubmedqa --raw RAW_DIR --out DATA (see datasets/pubmedqa/)
# Command: bash run_scripts/question_answering/train_pubmedqa.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BioLinkBERT-large accuracy 0.722 (Yasunaga et al., ACL 2022).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train pubmedqa "$@"
