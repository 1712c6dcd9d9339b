#!/usr/bin/env bash
# Runs a recipe: recipe.sh train|evaluate NAME, or pretrain, or grounding; then its options.
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
exec "$PYTHON" "$RUN_SCRIPTS/launch.py" "$@"
