"""The main job in miniature: what `make demo` does, on a few images and updates."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from checkout import ROOT
from readme_blocks import ask


def test_demo_does_not_delete_a_folder_that_is_no_run_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("text")
    done = subprocess.run(
        ["bash", str(ROOT / "run_scripts" / "demo.sh"), str(tmp_path), "--smoke"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is no run of this program" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "thesis.txt"]


def test_demo_prepares_trains_generates_scores_and_reports(tmp_path: Path) -> None:
    pytest.importorskip("fairseq")
    place = tmp_path / "with a blank"
    folder = place / "demo"
    done = subprocess.run(
        ["bash", str(ROOT / "run_scripts" / "demo.sh"), str(folder), "--smoke"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    score = json.loads((folder / "run" / "score.json").read_text())
    lines = (folder / "run" / "predictions.jsonl").read_text().splitlines()
    assert {json.loads(line)["split"] for line in lines} == {"test"}
    assert score["measures"][0]["n"] == len(lines)
    # What the README's first screen asks the model, as written, in Python and in the shell.
    by_python, by_shell = ask(place)
    assert by_python.split()[0] in by_shell
    page = (folder / "report.html").read_text()
    assert "not for clinical use" in page
    assert page.count("data:image/jpeg") >= 8  # the examples
    assert "http://" not in page.replace("http://www.w3.org", "")
