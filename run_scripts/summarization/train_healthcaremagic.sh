#!/usr/bin/env bash
# Purpose:        train to summarize the texts of HealthCareMagic: patients' questions to doctors,
#                 summarized in a line (MedDialog); from scratch or from a pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare healthcaremagic --raw RAW_DIR --out DATA_DIR; what RAW_DIR
#                 must hold is in datasets/healthcaremagic/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/summarization/train_healthcaremagic.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: none published for BiomedGPT-B that we know of.
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train healthcaremagic "$@"
