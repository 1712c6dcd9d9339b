#!/usr/bin/env bash
# Purpose:        see every recipe run: a small raw release in the official layout is written, prepared
#                 and checked; then a few updates of training, generation and the score.
# Prerequisites:  make setup
# Command:        bash run_scripts/smoke_all.sh [--jobs N] [--keep DIR] [NAME ...]
#                 NAME as in `biomedgpt data list` (default: all); N recipes run side by side
#                 (default: one per core); DIR keeps data, runs and logs.
# Expected:       a line per recipe and "30 of 30"; exit status 1 if one fails. Scores mean nothing.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
export PYTHON RUN_SCRIPTS
export PYTHONPATH="$RUN_SCRIPTS/../tests/helpers${PYTHONPATH:+:$PYTHONPATH}"
jobs="$(env -u OMP_NUM_THREADS nproc)" # which takes that variable for the number of cores
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
keep=""
names=()
while [[ $# -gt 0 ]]; do
    case "$1" in
        --jobs | --keep)
            [[ $# -gt 1 ]] || { echo "error: $1 needs a value" >&2; exit 1; }
            [[ "$1" == --jobs ]] && jobs="$2" || keep="$2"
            shift 2
            ;;
        -*) echo "error: unknown option $1; see the head of this file" >&2; exit 1 ;;
        *) names+=("$1"); shift ;;
    esac
done
if [[ -n "$keep" ]]; then
    mkdir -p "$keep"
    work="$(cd -- "$keep" && pwd)"
else
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
fi
export work
if [[ ${#names[@]} -eq 0 ]]; then
    mapfile -t names < <("$PYTHON" -m biomedgpt.cli.main data list --json |
        "$PYTHON" -c 'import json, sys; print(*(d["name"] for d in json.load(sys.stdin)), sep="\n")')
fi

biomedgpt() {
    "$PYTHON" -m biomedgpt.cli.main "$@"
}

run_one() {
    set -euo pipefail
    local folder="$work/$1" script="${1//-/_}" started=$SECONDS train status=0
    rm -rf "$folder"
    mkdir -p "$folder"
    train="$(echo "$RUN_SCRIPTS"/*/"train_$script.sh")"
    {
        "$PYTHON" -m raw_releases "$1" "$folder/raw" &&
            biomedgpt data prepare "$1" --raw "$folder/raw" --out "$folder/data" &&
            biomedgpt data check "$folder/data" &&
            bash "$train" --smoke --data "$folder/data" --save-dir "$folder/run" &&
            bash "${train/train_/evaluate_}" --smoke --data "$folder/data" --save-dir "$folder/run" &&
            test -s "$folder/run/score.json"
    } > "$folder/log" 2>&1 || status=$?
    if [[ $status -eq 0 ]]; then
        echo "ok      $1 ($((SECONDS - started)) s)"
        touch "$folder/ok"
    else
        echo "FAILED  $1 ($((SECONDS - started)) s):"
        tail -n 15 "$folder/log" | sed 's/^/    /'
    fi
}
export -f run_one biomedgpt

started=$SECONDS
printf '%s\n' "${names[@]}" | xargs -P "$jobs" -I{} bash -c 'run_one "$1"' _ {}
passed=0
for name in "${names[@]}"; do
    [[ ! -f "$work/$name/ok" ]] || passed=$((passed + 1))
done
echo "$passed of ${#names[@]} recipes trained, generated and were scored in $((SECONDS - started)) s"
[[ "$passed" -eq ${#names[@]} ]]
