#!/usr/bin/env bash
# Purpose: train on PEIR Gross: photographs of gross pathology with a description.
# Prerequisites: biomedgpt data prepare peir-gross --raw RAW_DIR --out DATA (see
#     datasets/peir-gross/)
# Command: bash run_scripts/captioning/train_peir_gross.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B CIDEr-D 1.227 (Zhang et al., Nature Medicine 2024, as quoted in
#     reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train peir-gross "$@"
