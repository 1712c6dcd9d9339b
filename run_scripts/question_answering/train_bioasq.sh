#!/usr/bin/env bash
# Purpose:        train to answer the questions of BioASQ 7b: yes or no from snippets of abstracts;
#                 from scratch or from a pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare bioasq --raw RAW_DIR --out DATA_DIR; what RAW_DIR must hold
#                 is in datasets/bioasq/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/question_answering/train_bioasq.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: BioLinkBERT-large accuracy 94.8 (Yasunaga et al., ACL 2022).
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train bioasq "$@"
