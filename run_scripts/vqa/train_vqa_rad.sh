#!/usr/bin/env bash
# Purpose: train on VQA-RAD: clinicians' questions about radiology images.
# Prerequisites: biomedgpt data prepare vqa-rad --raw RAW_DIR --out DATA (see datasets/vqa-rad/)
# Command: bash run_scripts/vqa/train_vqa_rad.sh --data DATA --save-dir RUN [--size=SIZE]
#     [--checkpoint=FILE] [--vocabulary=DIR] [--devices=N] [--help]
# Output: checkpoints, train.log and run.json in RUN.
# Expected score: BiomedGPT-B weighted F1 0.732, Med-PaLM M 12B (prior best) weighted F1 0.507
#     (Zhang et al., Nature Medicine 2024, as quoted in reviews). From scratch expect little more
#     than the majority answers: 1,797 questions do not teach a model to see.
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" train vqa-rad "$@"
