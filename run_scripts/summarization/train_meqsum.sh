#!/usr/bin/env bash
# Purpose:        train to summarize the texts of MeQSum: summaries of consumers' health questions;
#                 from scratch or from a pretrained checkpoint.
# Prerequisites:  biomedgpt data prepare meqsum --raw RAW_DIR --out DATA_DIR; what RAW_DIR must hold
#                 is in datasets/meqsum/README.md.
#                 With --checkpoint also the folder of its vocabulary (encoder.json, vocab.bpe,
#                 dict.txt) as --vocabulary DIR or in $BIOMEDGPT_BPE_DIR.
# Command:        bash run_scripts/summarization/train_meqsum.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--devices N] [any option of fairseq-train]
#                 A run that was stopped goes on when the command is given again.
# Expected score: BiomedGPT-B ROUGE-L 52.3 (Zhang et al., Nature Medicine 2024, as quoted in
#                 reviews); prior best there ROUGE-L 53.2 (Zhang et al., Nature Medicine 2024, as
#                 quoted in reviews).
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train meqsum "$@"
