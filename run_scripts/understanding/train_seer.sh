#!/usr/bin/env bash
# Purpose:        train to judge the texts of SEER: which treatment a cancer registry's record is
#                 followed by; from scratch or from a pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare seer --raw RAW_DIR --out DATA_DIR; what RAW_DIR must hold
#                 is in datasets/seer/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/understanding/train_seer.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--fold N] [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
#                 Cross-validation: 10 models, one after the other, in RUN_DIR/fold0 and so on.
# Expected score: BiomedGPT-B accuracy 50.0 +- 5.3 (Zhang et al., Nature Medicine 2024, as quoted in
#                 reviews).
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train seer "$@"
