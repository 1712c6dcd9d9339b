#!/usr/bin/env bash
# Purpose:        train to judge the texts of MIMIC-III: death in hospital, judged by the note on
#                 admission; from scratch or from a pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare mimic-iii-mortality --raw RAW_DIR --out DATA_DIR; what
#                 RAW_DIR must hold is in datasets/mimic-iii-mortality/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/understanding/train_mimic_iii_mortality.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: BiomedGPT-B accuracy 89.5 (Zhang et al., Nature Medicine 2024, as quoted in
#                 reviews).
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train mimic-iii-mortality "$@"
