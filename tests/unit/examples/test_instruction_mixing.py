"""Instructions and task data in one training split; epochs with balanced modalities."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fairseq_data import make_dataset
from preparing import run
from raw_releases.instructions import write_vital

from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.examples.mixing import (
    AsInstructions,
    Balance,
    balanced_counts,
    mixed_folders,
    modalities,
    open_mixed,
)
from biomedgpt.tasks import get_task


@pytest.fixture(scope="module")
def vital(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("vital")
    run("biomed-vital", write_vital(folder / "raw"), folder / "out")
    return PreparedDataset(folder / "out")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return PreparedDataset(make_dataset(tmp_path_factory.mktemp("squares") / "out"))


def test_counts_are_limited_by_the_median():
    assert balanced_counts({"a": 100, "b": 30, "c": 20, "d": 2}) == {
        "a": 20,
        "b": 20,
        "c": 20,
        "d": 2,
    }
    assert balanced_counts({"a": 9}) == {"a": 9}
    assert balanced_counts({"ct": 9, "x-ray": 4}) == {"ct": 4, "x-ray": 4}


def test_epochs_are_balanced_without_repeats_and_show_everything_in_turn():
    names = ["mri"] * 60 + ["ct"] * 20 + ["gross"] * 5
    np.random.default_rng(3).shuffle(names)
    balance = Balance(names, seed=1)
    assert len(balance) == 45
    assert balance.describe() == "mri 20 of 60, ct 20 of 20, gross 5 of 5"
    seen = Counter()
    for number in range(1, 4):
        rows = balance.epoch(number).tolist()
        assert len(set(rows)) == len(rows) == 45
        assert Counter(names[row] for row in rows) == {"mri": 20, "ct": 20, "gross": 5}
        seen.update(rows)
    assert len(seen) == 85  # three epochs of 20 are all 60
    assert {seen[row] for row, name in enumerate(names) if name == "mri"} == {1}


def test_the_order_is_that_of_seed_and_epoch_whoever_asks():
    names = ["a", "b", "b", "b"] * 9
    orders = [Balance(names, seed=1).epoch(3).tolist() for _ in range(2)]
    balance = Balance(names, seed=1)
    first = balance.epoch(1).tolist()
    assert balance.epoch(3).tolist() == orders[0] == orders[1]
    assert first != orders[0]
    assert Balance(names, seed=2).epoch(3).tolist() != orders[0]


def test_task_data_are_read_as_instructions(vital, squares):
    mixed = open_mixed(vital, [squares.folder])
    count = vital.card.counts["train"]
    assert len(mixed) == count + squares.card.counts["train"]
    assert mixed[0] == vital.split("train")[0]
    question = squares.split("train")[0]
    row = mixed[count]
    assert row["id"] == f"squares/{question['id']}"
    assert row["instruction"] == get_task("vqa").instruction(question)
    assert row["answer"] == question["answer"]
    assert row["image"] == question["image"]
    assert row["modality"] == "squares"
    assert get_task("instruction").instruction(row) == row["instruction"]
    assert len({mixed.text("id", number) for number in range(len(mixed))}) == len(mixed)
    assert pickle.loads(pickle.dumps(mixed))[count] == row
    assert Counter(modalities(mixed))["squares"] == squares.card.counts["train"]


def test_every_tasks_rows_can_be_mixed_in(tmp_path):
    from scored_rows import ROWS, prepare

    for task in ROWS:
        dataset = prepare(tmp_path / task, task, ["train"])
        split = AsInstructions(dataset, "train")
        for number in range(len(split)):
            row = split[number]
            assert row["instruction"]
            assert row["answer"]
            assert ("image" in row) == get_task(task).fields.image


def test_what_cannot_be_mixed_is_said(vital, squares, tmp_path):
    with pytest.raises(ConfigError, match=r"--mix adds to instructions; .* is for the task vqa"):
        open_mixed(squares, [vital.folder])
    with pytest.raises(ConfigError, match="given twice"):
        open_mixed(vital, [squares.folder, squares.folder / ".." / squares.folder.name])
    with pytest.raises(DataError, match="not a prepared dataset"):
        open_mixed(vital, [tmp_path])
    with pytest.raises(ConfigError, match="--balance modality is for instructions"):
        modalities(squares.split("train"))
    assert mixed_folders("a b:c/d:") == [Path("a b"), Path("c/d")]
