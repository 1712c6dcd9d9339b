"""A few of the kills of `kill_trials`, of commands that write in different ways.

All of them: ``PYTHONPATH=tests/helpers python tests/helpers/kill_trials.py``.
"""

import subprocess
import sys

import pytest
from checkout import ROOT

SCRIPT = ROOT / "tests" / "helpers" / "kill_trials.py"


@pytest.mark.parametrize(
    ("command", "has_lock"),
    [
        ("data import-tsv 0", True),
        ("data export-tsv 0", True),
        ("corpus prepare 0", True),
        ("vqgan encode 0", True),
        ("convert 0", True),
        ("fetch 0", True),
        ("predict 0", True),
        ("score 0", False),
    ],
)
def test_what_is_killed_is_whole_or_absent_and_goes_on(command: str, has_lock: bool) -> None:
    """At steps that a seed has drawn; a second process is refused by name."""
    words = ["--only", f"{command}$", "--count", "2", "--steps"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{command}: SIGKILL")
    assert line.endswith("the second refused" if has_lock else "no lock")
