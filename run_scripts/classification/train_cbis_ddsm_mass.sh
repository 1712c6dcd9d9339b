#!/usr/bin/env bash
# Purpose:        train to classify the images of CBIS-DDSM masses: benign or malignant masses in
#                 mammograms; from scratch or from a pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare cbis-ddsm-mass --raw RAW_DIR --out DATA_DIR; what RAW_DIR
#                 must hold is in datasets/cbis-ddsm-mass/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/classification/train_cbis_ddsm_mass.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: BiomedGPT-B macro F1 51.1 (Zhang et al., Nature Medicine 2024, as quoted in
#                 reviews).
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train cbis-ddsm-mass "$@"
