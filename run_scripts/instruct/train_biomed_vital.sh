#!/usr/bin/env bash
# Purpose:        instruction tuning on BioMed-VITAL: dialogues about figures of PubMed Central; from
#                 a pretrained checkpoint, or from scratch.
# Prerequisites:  biomedgpt data prepare biomed-vital --raw RAW_DIR --out DATA_DIR; what RAW_DIR must
#                 hold is in datasets/biomed-vital/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/instruct/train_biomed_vital.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--balance modality] [--mix DATA_DIR[:DATA_DIR]] \
#                     [--devices N] [any option of fairseq-train]
#                 --mix adds the training rows of other prepared datasets (SLAKE, PathVQA, ...).
#                 A run that was stopped goes on when the command is given again.
# Expected score: none is published for these held-out dialogues; above that with blank images.
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train biomed-vital "$@"
