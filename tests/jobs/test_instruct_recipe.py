"""Instruction tuning as a user runs it: with task data mixed in, resumed, and evaluated."""

import json
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("fairseq", reason="needs the train extra")

from checkout import ROOT
from fairseq_data import make_dataset
from raw_releases.instructions import write_vital_dataset
from shell import run_script

FOLDER = ROOT / "run_scripts" / "instruct"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vital_dataset(tmp_path_factory.mktemp("instruct"))


def run(script: str, *options: object) -> subprocess.CompletedProcess[str]:
    return run_script(FOLDER / script, *options, "--smoke")


def test_train_with_task_data_balanced_resume_and_evaluate(dataset: Path, tmp_path: Path) -> None:
    squares = make_dataset(tmp_path / "squares", train=8)
    options = ["--data", dataset, "--save-dir", tmp_path / "run"]
    training = [*options, "--mix", squares, "--balance", "modality"]
    first = run("train_biomed_vital.sh", *training, "--max-update", "2")
    assert first.returncode == 0, first.stderr
    assert f"8 of {squares}" in first.stdout
    assert "rows in an epoch: squares 4 of 8, " in first.stdout
    assert "update 2/2" in first.stdout
    again = run("train_biomed_vital.sh", *training, "--max-update", "3")
    assert again.returncode == 0, again.stderr
    assert "update 3/3" in again.stdout
    assert "update 1/3" not in again.stdout
    scored = run("evaluate_biomed_vital.sh", *options, "--max-len-b", "8", "--beam", "1")
    assert scored.returncode == 0, scored.stderr
    assert "word F1" in scored.stdout
    content = json.loads((tmp_path / "run" / "score.json").read_text())
    assert (content["task"], content["dataset"]) == ("instruct", "biomed-vital")
    line = json.loads((tmp_path / "run" / "predictions.jsonl").read_text().splitlines()[0])
    assert line["instruction"]
    assert line["decoding"]["constrained"] is False


def test_what_cannot_be_mixed_is_one_line(dataset: Path, tmp_path: Path) -> None:
    for options, message in (
        (["--mix", tmp_path], f"{tmp_path} is not a prepared dataset"),
        (["--balance", "organ"], "invalid choice"),
    ):
        done = run("train_own.sh", "--data", dataset, "--save-dir", tmp_path / "run", *options)
        assert done.returncode == 1
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "run").exists()
