#!/usr/bin/env bash
# Purpose: train on IU X-ray: chest X-rays of Indiana University with impression and findings.
# Prerequisites: biomedgpt data prepare iu-xray --raw RAW_DIR --out DATA (see datasets/iu-xray/)
# Command: bash run_scripts/captioning/train_iu_xray.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B CIDEr-D 0.401 (Zhang et al., Nature Medicine 2024, as quoted in
#     reviews).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train iu-xray "$@"
