"""A task of one's own, one file outside the project, goes all the way through the commands."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT
from readme_blocks import block

pytest.importorskip("fairseq", reason="needs the train extra")

FILE = block("python", "class Triage", document="CONTRIBUTING.md")
ASK = """
import json, sys, biomedgpt
from biomedgpt.serve.menu import Menu
model = biomedgpt.load(sys.argv[1], device="cpu")
result = model.ask("triage", referral="chest pain for 3 days")
menu = Menu.of(model.checkpoint.info.task, draws=False)
print(json.dumps([result.text, result.probability, [task.name for task in menu.first]]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the task's file and a table of its rows."""
    folder = tmp_path_factory.mktemp("triage")
    (folder / "triage.py").write_text(FILE)
    lines = ["referral,answer"]
    for number in range(40):
        lines.append(f"chest pain for {number} days,{['urgent', 'routine'][number % 2]}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder


def run(place: Path, *words: Any, known: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command that knows the task's file, or does not."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHON": sys.executable}
    environment.pop("BIOMEDGPT_TASKS", None)
    if known:
        environment["BIOMEDGPT_TASKS"] = str(place / "triage.py")
    return subprocess.run(
        [*map(str, words)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def biomedgpt(place: Path, *words: Any, known: bool = True) -> subprocess.CompletedProcess[str]:
    return run(place, sys.executable, "-m", "biomedgpt.cli.main", *words, known=known)


def test_one_file_is_all_that_a_task_takes(place: Path) -> None:
    data, folder = place / "data", place / "run"
    done = biomedgpt(
        *(place, "data", "import", "--table", place / "table.csv", "--task", "triage"),
        *("--out", data, "--valid-fraction", 0.1, "--test-fraction", 0.3),
    )
    assert done.returncode == 0, done.stderr
    recipes = ROOT / "run_scripts" / "understanding"
    for script in ("train_own.sh", "evaluate_own.sh"):
        done = run(
            place,
            "bash",
            recipes / script,
            "--data",
            data,
            "--save-dir",
            folder,
            "--smoke",
            "--cpu",
        )
        assert done.returncode == 0, done.stderr
    score = json.loads((folder / "score.json").read_text())
    assert (score["task"], score["n"]) == ("understanding", 12)
    assert score["measures"][0]["key"] == "accuracy"
    done = biomedgpt(place, "report", folder, "--data", data)
    assert done.returncode == 0, done.stderr
    assert "how urgent is the referral" in (folder / "report.html").read_text()

    done = biomedgpt(
        *(place, "predict", "--checkpoint", folder, "--task", "triage", "--device", "cpu"),
        *("--text", "chest pain for 3 days", "--json"),
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["text"] in ("urgent", "routine")
    done = run(place, sys.executable, "-c", ASK, folder)
    assert done.returncode == 0, done.stderr
    text, probability, first = json.loads(done.stdout)
    assert (text, first) == (shown["text"], ["triage"])
    assert probability == pytest.approx(shown["probability"])

    # Where the file is not known, one line says so.
    for words in (("inspect", folder), ("predict", "--checkpoint", folder, "--text", "x")):
        done = biomedgpt(place, *words, known=False)
        assert done.returncode == 1
        assert "triage" in done.stderr + done.stdout
        assert "Traceback" not in done.stderr
