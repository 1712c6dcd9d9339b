"""Instruction tuning as a user runs it: with task data mixed in, resumed, and evaluated."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fairseq", reason="needs the train extra")
pytestmark = pytest.mark.fairseq

from checkout import ROOT  # noqa: E402
from fairseq_data import make_dataset  # noqa: E402
from instruction_releases import vital_record, write_vital  # noqa: E402

from biomedgpt.data.batches import ExampleEncoder  # noqa: E402
from biomedgpt.data.prepare import prepare  # noqa: E402
from biomedgpt.data.prepared import PreparedDataset  # noqa: E402
from biomedgpt.data.raw import PrepareOptions  # noqa: E402
from biomedgpt.instructions.mixing import Balance, modalities  # noqa: E402
from biomedgpt.tasks import get_task  # noqa: E402
from biomedgpt.vocabulary import Vocabulary  # noqa: E402
from fairseq_ext.dataset import PreparedFairseqDataset  # noqa: E402

FOLDER = ROOT / "run_scripts" / "instruct"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instruct")
    records = [vital_record(n) for n in range(12)]
    records += [{"id": "text", "conversations": [vital_record(0)["conversations"][2]] * 1}]
    records[-1]["conversations"] += [{"from": "gpt", "value": "It is."}]
    write_vital(folder / "raw", records)
    prepare("biomed-vital", raw=folder / "raw", out=folder / "data", options=PrepareOptions())
    return folder / "data"


def run(script: str, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(FOLDER / script), *map(str, options), "--smoke"],
        capture_output=True,
        text=True,
        cwd="/",
        env=ENVIRONMENT,
        check=False,
    )


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


def test_the_order_of_a_balanced_epoch_is_the_same_after_a_restart(dataset: Path) -> None:
    split = PreparedDataset(dataset).split("train")
    vocabulary = Vocabulary.load(dataset / "vocabulary")
    encoder = ExampleEncoder(vocabulary, get_task("instruction"), image_size=32)
    orders = []
    for state in (1, 2):
        np.random.seed(state)  # noqa: NPY002 (fairseq's, which nothing may depend on)
        rows = PreparedFairseqDataset(
            split, encoder, shuffle=True, balance=Balance(modalities(split), seed=1)
        )
        rows.set_epoch(3)
        orders.append(rows.ordered_indices().tolist())
    assert orders[0] == orders[1]
    assert len(orders[0]) < len(split)
