#!/usr/bin/env bash
# Purpose: answer the test split of IU X-ray, also with blank images, and score it.
# Prerequisites: a folder made by train_iu_xray.sh
# Command: bash run_scripts/captioning/evaluate_iu_xray.sh --data DATA --save-dir RUN [--help]
# Output: predictions.jsonl, predictions_blank.jsonl, score.json in RUN.
# Expected score: see train_iu_xray.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/../recipe.sh" evaluate iu-xray "$@"
