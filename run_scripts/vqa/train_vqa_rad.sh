#!/usr/bin/env bash
# Purpose:        train on VQA-RAD (questions about radiology images), from scratch or from a
#                 pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare vqa-rad --raw RAW_DIR --out DATA_DIR
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/vqa/train_vqa_rad.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: BiomedGPT-Base, fine-tuned from its pretraining: weighted F1 73.2 (Nature
#                 Medicine 2024, as quoted in reviews). From scratch expect little more than the
#                 majority answers: 1,797 questions do not teach a model to see.
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train vqa-rad "$@"
