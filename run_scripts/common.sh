# Finds the Python environment; to be sourced.
set -euo pipefail

RUN_SCRIPTS="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"

if [[ -z "${PYTHON:-}" ]]; then
    PYTHON="$RUN_SCRIPTS/../.venv/bin/python"
    [[ -x "$PYTHON" ]] || PYTHON="$(command -v python3 || true)"
fi
# Looks for the packages without importing them, which takes seconds.
if [[ -z "$PYTHON" ]] || ! "$PYTHON" -c 'import sys
from importlib.util import find_spec
sys.exit(find_spec("torch") is None or find_spec("h5py") is None)' 2>/dev/null; then
    echo "error: no Python environment with the project's packages; run: make setup" >&2
    exit 1
fi

# Threads that spin for long while they wait stall each other where cores are shared: an update of the
# nano model took 6 s instead of 0.1 s on two busy cores. Not to spin at all doubles it on idle ones.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"
