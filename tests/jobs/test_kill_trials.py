"""A few of the kills of `kill_trials`, of commands that write in different ways.

All of them: ``PYTHONPATH=tests/helpers python tests/helpers/kill_trials.py``.
"""

import subprocess
import sys

from checkout import ROOT

SCRIPT = ROOT / "tests" / "helpers" / "kill_trials.py"
LOCKED = (
    *("data import-tsv 0", "data export-tsv 0", "corpus prepare 0", "vqgan encode 0"),
    *("convert 0", "fetch 0", "predict 0"),
)
"""Commands of which a second one at the same time is refused."""


def test_what_is_killed_is_whole_or_absent_and_goes_on() -> None:
    """At steps that a seed has drawn; a second process is refused by name."""
    commands = {**dict.fromkeys(LOCKED, "the second refused"), "score 0": "no lock"}
    words = ["--only", f"({'|'.join(commands)})$", "--count", "2", "--steps"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split(":") for line in done.stdout.splitlines()]
    assert {name: rest.rpartition("; ")[2] for name, rest in lines} == commands
