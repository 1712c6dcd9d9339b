"""The scoring scripts as processes, where torch cannot be imported."""

import json
import os
import statistics
import subprocess
import sys

import pytest
from checkout import ROOT
from scored_rows import COUNT, ROWS, half, predict, prepare, right, write_folds

from biomedgpt.scoring.score_file import Score
from biomedgpt.tasks import get_group, get_task

pytest.importorskip("rouge_score", reason="needs the metrics extra")
pytest.importorskip("pycocoevalcap", reason="needs the metrics extra")


@pytest.fixture
def without_torch(tmp_path):
    """Return an environment in which torch cannot be imported, and without Java (it is slow)."""
    (tmp_path / "blocker").mkdir()
    (tmp_path / "blocker" / "torch.py").write_text("raise ImportError('torch is blocked')\n")
    return os.environ | {
        "PYTHONPATH": f"{tmp_path / 'blocker'}{os.pathsep}{ROOT}",
        "PATH": str(tmp_path / "blocker"),
    }


def run_script(group, *arguments, env):
    return subprocess.run(
        [sys.executable, ROOT / "evaluation" / f"{group}.py", *map(str, arguments)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_runs_without_torch(tmp_path, without_torch):
    dataset = prepare(tmp_path / "data", "vqa", ["train", "test"])
    path = predict(tmp_path / "p.jsonl", dataset, "test", right)
    blank = predict(tmp_path / "b.jsonl", dataset, "test", right, blank=True)
    alone = {"PYTHONPATH": without_torch["PYTHONPATH"]}  # nothing else of this environment
    done = run_script("vqa", path, "--blank", blank, "--data", dataset.folder, env=alone)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout


@pytest.mark.parametrize("task", ROWS)
def test_each_script_scores_what_its_task_writes_without_torch(task, tmp_path, without_torch):
    dataset = prepare(tmp_path / "data", task, ["train", "test"])
    group = get_group(get_task(task).group)
    arguments = [predict(tmp_path / "p.jsonl", dataset, "test", half)]
    if group.uses_image:
        blank = predict(tmp_path / "b.jsonl", dataset, "test", lambda _: "nothing", blank=True)
        arguments += ["--blank", blank]
    arguments += ["--data", dataset.folder, "--json", tmp_path / "score.json"]
    done = run_script(group.name, *arguments, env=without_torch)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    content = json.loads((tmp_path / "score.json").read_text())
    assert content["task"] == group.name
    assert (content["dataset"], content["split"], content["n"]) == ("tiny", "test", COUNT)
    assert content["dataset_hash"] == dataset.hash
    assert content["normalisation"] in done.stdout
    measures = {one["key"]: one for one in content["measures"]}
    assert list(measures) == [kind.key for kind in group.measures]
    primary = measures[group.primary]
    assert primary["value"] == pytest.approx(0.5, abs=0.03)
    assert primary["low"] < primary["value"] < primary["high"]
    if group.uses_image:
        # Nothing right but the word that is everywhere, so the gain is the score.
        assert primary["gain"]["value"] == pytest.approx(0.5, abs=0.03)
        assert "does not look at the image" not in done.stdout
    else:
        assert primary["gain"] is primary["blank"] is None
    if group.baseline is not None:
        assert group.baseline_name in done.stdout
        assert primary["baseline"]["n"] == COUNT
    for kind in group.measures:
        assert kind.label in done.stdout
    restored = Score.from_dict(content, where="score.json")
    assert restored.to_dict().items() <= content.items()


def test_folds_give_mean_and_deviation(tmp_path, without_torch):
    dataset, files = write_folds(tmp_path)
    out = tmp_path / "score.json"
    done = run_script(
        "understanding",
        *reversed(files),
        *("--data", dataset.folder, "--json", out),
        env=without_torch,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    assert content["split"] == "3 folds"
    assert content["n"] == 3 * COUNT
    assert content["notes"] == []
    assert "fold" not in content["decoding"]
    accuracy = content["measures"][0]
    assert accuracy["key"] == "accuracy"
    assert accuracy["n"] == 3 * COUNT
    assert accuracy["value"] == pytest.approx(0.5)
    assert accuracy["deviation"] == pytest.approx(statistics.stdev([1, 0.5, 0]))
    assert accuracy["baseline"]["deviation"] is None  # there is no training split in the card
    assert [fold["split"] for fold in content["folds"]] == ["fold0", "fold1", "fold2"]
    assert [fold["measures"][0]["value"] for fold in content["folds"]] == [1, 0.5, 0]
    assert "fold1  12  0.500 [" in done.stdout
    assert "0.500 ± 0.500" in done.stdout
    restored = Score.from_dict(content, where="score.json")
    assert restored.to_dict().items() <= content.items()
