"""The main job in miniature: what `make demo` does, on a few images and updates."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.mark.fairseq
def test_demo_prepares_trains_generates_scores_and_reports(tmp_path: Path) -> None:
    pytest.importorskip("fairseq")
    folder = tmp_path / "with a blank"
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
    assert score["score"]["accuracy"]["overall"]["n"] == len(lines)
    page = (folder / "report.html").read_text()
    assert "not for clinical use" in page
    assert page.count("data:image/jpeg") >= 8  # the examples
    assert "http://" not in page.replace("http://www.w3.org", "")
