#!/usr/bin/env bash
# Purpose:        train to judge the texts of TREC 2022 Clinical Trials: does a patient qualify for
#                 a trial; from scratch or from a pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare trec-2022 --raw RAW_DIR --out DATA_DIR; what RAW_DIR must
#                 hold is in datasets/trec-2022/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/understanding/train_trec_2022.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--fold N] [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
#                 Cross-validation: 10 models, one after the other, in RUN_DIR/fold0 and so on.
# Expected score: BiomedGPT-B accuracy 85.2 +- 1.5 (Zhang et al., Nature Medicine 2024, as quoted in
#                 reviews).
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train trec-2022 "$@"
