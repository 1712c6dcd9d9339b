#!/usr/bin/env bash
# Purpose:        see how well a pretrained model finds the region that a text describes.
# Prerequisites:  a run of pretrain.sh with the stream grounding, and a dataset of kind grounding
# Command:        bash run_scripts/pretraining/evaluate_grounding.sh --data DATA_DIR \
#                     --save-dir RUN_DIR [--split NAME] [--checkpoint FILE]
# Expected score: on unseen phantoms an accuracy at IoU 0.5 of at least 0.8 (our own aim).
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" grounding "$@"
