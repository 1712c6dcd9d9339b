"""Scripts as a user runs them: from another folder, on the CPU."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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


@contextmanager
def running(
    script: Path,
    *options: object,
    until: str,
    errors: int = subprocess.DEVNULL,
    env: Mapping[str, str] = ENVIRONMENT,
) -> Iterator[tuple[subprocess.Popen[str], IO[str], list[str]]]:
    """Run a shell script until a line has a text.

    Gives the process, what it goes on to print, and the lines so far; at the end it is waited for.
    """
    with subprocess.Popen(
        ["bash", str(script), *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=env,
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if until in line:
                break
        yield process, process.stdout, said
