"""Scripts as a user runs them: from another folder, on the CPU."""

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run_script(script: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """Run a shell script and wait for its end, whatever it is."""
    return subprocess.run(
        ["bash", str(script), *map(str, options)],
        capture_output=True,
        text=True,
        cwd="/",
        env=ENVIRONMENT,
        check=False,
    )
