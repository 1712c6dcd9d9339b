#!/usr/bin/env bash
# Purpose:        train to answer questions about images of PathVQA: questions about pathology
#                 images from textbooks; from scratch or from a pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare pathvqa --raw RAW_DIR --out DATA_DIR; what RAW_DIR must
#                 hold is in datasets/pathvqa/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/vqa/train_pathvqa.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: BiomedGPT-B accuracy of closed questions 88.0 (Zhang et al., Nature Medicine 2024,
#                 as quoted in reviews); BiomedGPT-B accuracy of open questions 28.0 (Zhang et al.,
#                 Nature Medicine 2024, as quoted in reviews).
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train pathvqa "$@"
