#!/usr/bin/env bash
# Purpose: train on BioMed-VITAL: dialogues about PMC figures, selected by clinicians' preferences.
# Prerequisites: biomedgpt data prepare biomed-vital --raw RAW_DIR --out DATA (see
#     datasets/biomed-vital/)
# Command: bash run_scripts/instruct/train_biomed_vital.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: None is published for these held-out dialogues; above that with blank images.
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train biomed-vital "$@"
