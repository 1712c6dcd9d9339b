#!/usr/bin/env bash
# Purpose:        summarize the texts of the test split of MeQSum: summaries of consumers' health
#                 questions and score the answers.
# Prerequisites:  a folder made by train_meqsum.sh
# Command:        bash run_scripts/summarization/evaluate_meqsum.sh --data DATA_DIR --save-dir RUN_DIR \
#                     [--checkpoint FILE] [--split test] [any option of fairseq-generate]
# Output:         RUN_DIR/predictions.jsonl, score.json and the table.
# Expected score: see train_meqsum.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"
run_recipe evaluate meqsum "$@"
