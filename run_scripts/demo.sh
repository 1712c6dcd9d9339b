#!/usr/bin/env bash
# Purpose:        the whole way in miniature, without any download: draw radiology-like phantoms,
#                 train a nano model through fairseq, answer unseen questions, score, report.
# Prerequisites:  make setup
# Command:        make demo        (or: bash run_scripts/demo.sh [FOLDER] [--smoke])
# Expected:       accuracy of at least 0.90 on unseen phantoms, at least 0.30 above the same model
#                 with blank images; at most 8 minutes on two CPU cores. --smoke takes one minute
#                 and learns nothing.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
folder="$RUN_SCRIPTS/../demo"
if [[ $# -gt 0 && "$1" != -* ]]; then
    folder="$1"
    shift
fi
options=("$@")
if [[ -e "$folder/run" && ! -f "$folder/run/run.json" ]]; then
    echo "error: $folder/run is no run of this program; give another folder" >&2
    exit 1
fi
images=(4000 100 300)
[[ " ${options[*]-} " == *" --smoke "* ]] && images=(24 4 8)
mkdir -p "$folder"
folder="$(cd -- "$folder" && pwd)"
started=$SECONDS

biomedgpt() {
    "$PYTHON" -m biomedgpt.cli.main "$@"
}

echo "== 1/4 phantoms"
biomedgpt data prepare phantoms --out "$folder/data" --overwrite --images "${images[@]}"
echo "== 2/4 training"
rm -rf "$folder/run"
bash "$RUN_SCRIPTS/vqa/train_phantoms.sh" --data "$folder/data" --save-dir "$folder/run" \
    --size nano "${options[@]}"
echo "== 3/4 generation and score"
bash "$RUN_SCRIPTS/vqa/evaluate_phantoms.sh" --data "$folder/data" --save-dir "$folder/run" \
    "${options[@]}"
echo "== 4/4 report"
biomedgpt report "$folder/run" --data "$folder/data" --out "$folder/report.html" \
    --title "BiomedGPT on phantoms"
biomedgpt data show "$folder/data" --split test --row 7 --image "$folder/example.png"
echo "done in $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s;" \
    "open $folder/report.html"
