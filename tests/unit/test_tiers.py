"""The unit tier starts no process: what its conftest refuses."""

import multiprocessing
import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def early() -> str:
    """What becomes of a process that a fixture of a module starts."""
    with pytest.raises(pytest.fail.Exception) as caught:
        subprocess.run([sys.executable, "--version"], check=True)
    return str(caught.value)


def test_processes_are_refused(early: str) -> None:
    assert "belongs in tests/jobs" in early
    worker = multiprocessing.get_context("spawn").Process(target=print)
    for start in (worker.start, os.fork, lambda: os.system("true")):
        with pytest.raises(pytest.fail.Exception, match="belongs in tests/jobs"):
            start()
