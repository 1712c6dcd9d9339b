"""All thirty recipes, from a raw release to a score, as `smoke_all.sh` runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from shell import run_script

from biomedgpt.data.registry import BENCHMARKS

pytest.importorskip("fairseq", reason="needs the train extra")

SMOKE = ROOT / "run_scripts" / "smoke_all.sh"


def smoke(*options: object) -> subprocess.CompletedProcess[str]:
    return run_script(SMOKE, *options)


def test_every_recipe_trains_generates_and_is_scored(tmp_path: Path) -> None:
    done = smoke("--keep", tmp_path / "all of them")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(BENCHMARKS)} of {len(BENCHMARKS)} recipes" in done.stdout
    for name, spec in BENCHMARKS.items():
        run = tmp_path / "all of them" / name / "run"
        score = json.loads((run / "score.json").read_text())
        assert score["dataset"] == name
        assert score["n"] > 0
        if spec.folds:
            assert len(score["folds"]) == 2
        for path in [run / "predictions.jsonl", *run.glob("fold*/predictions.jsonl")]:
            if path.exists() or not spec.folds:
                record = json.loads(path.read_text().splitlines()[0])
                assert record["dataset"] == name
    table = subprocess.run(
        [sys.executable, "-m", "biomedgpt.cli.main", "report", str(tmp_path / "all of them")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert table.returncode == 0, table.stderr
    results = (tmp_path / "all of them" / "results.md").read_text()
    assert all(name in results for name in BENCHMARKS)


def test_a_recipe_that_fails_is_said_and_fails_the_whole(tmp_path: Path) -> None:
    done = smoke("--keep", tmp_path, "no-such-dataset")
    assert done.returncode == 1
    assert "FAILED  no-such-dataset" in done.stdout
    assert "0 of 1 recipes" in done.stdout


def test_unknown_options_are_refused() -> None:
    for options, message in ((["--job"], "unknown option --job"), (["--jobs"], "needs a value")):
        done = smoke(*options)
        assert done.returncode == 1
        assert message in done.stderr
