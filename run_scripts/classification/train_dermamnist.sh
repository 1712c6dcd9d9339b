#!/usr/bin/env bash
# Purpose:        train to classify the images of DermaMNIST: seven kinds of pigmented skin lesions;
#                 from scratch or from a pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare dermamnist --raw RAW_DIR --out DATA_DIR; what RAW_DIR must
#                 hold is in datasets/dermamnist/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/classification/train_dermamnist.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: ResNet-18 (28 px) accuracy 73.5 (Yang et al., Scientific Data 10, 41 (2023)).
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train dermamnist "$@"
