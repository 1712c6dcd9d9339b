#!/usr/bin/env bash
# Purpose:        instruction tuning on any prepared instruction data: LLaVA-Med, Llama3-Med,
#                 PubMedVision, MedMax, or a table of your own.
# Prerequisites:  biomedgpt data prepare NAME --raw RAW_DIR --out DATA_DIR (biomedgpt data list --kind
#                 instruction), or biomedgpt data import --task instruction --table TABLE.jsonl
#                 --images IMAGE_DIR --out DATA_DIR.
# Command:        bash run_scripts/instruct/train_own.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--size nano|tiny|medium|base|large|xlarge] [--checkpoint FILE] [--smoke] \
#                     [--balance modality] [--mix DATA_DIR[:DATA_DIR]] \
#                     [--devices N] [any option of fairseq-train]
#                 --mix adds the training rows of other prepared datasets (SLAKE, PathVQA, ...).
#                 A run that was stopped goes on when the command is given again.
# Expected score: above that with blank images, which the evaluation prints beside it.
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe train own-instruct "$@"
