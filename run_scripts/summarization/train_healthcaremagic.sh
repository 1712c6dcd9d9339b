#!/usr/bin/env bash
# Purpose: train on HealthCareMagic: patients' questions to doctors, summarized in a line
#     (MedDialog).
# Prerequisites: biomedgpt data prepare healthcaremagic --raw RAW_DIR --out DATA (see
#     datasets/healthcaremagic/)
# Command: bash run_scripts/summarization/train_healthcaremagic.sh --data DATA --save-dir RUN
#     [--size=SIZE] [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: none is published that we know of.
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train healthcaremagic "$@"
