#!/usr/bin/env bash
# Purpose:        train to caption the images of MIMIC-CXR: the findings of a chest X-ray report
#                 from the image; from scratch or from a pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare mimic-cxr-caption --raw RAW_DIR --out DATA_DIR; what
#                 RAW_DIR must hold is in datasets/mimic-cxr-caption/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/captioning/train_mimic_cxr_caption.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: BiomedGPT-B METEOR 15.9 (Zhang et al., Nature Medicine 2024, as quoted in
#                 reviews).
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train mimic-cxr-caption "$@"
