"""A cross-validation read as train, valid and test."""

from pathlib import Path

import pytest

from biomedgpt.data.prepared.card import DatasetFacts
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.folds import open_split
from biomedgpt.data.prepared.writer import write_dataset
from biomedgpt.data.rows import Row, make_folds
from biomedgpt.errors import ConfigError, DataError

FACTS = DatasetFacts(
    name="sample",
    task="mortality",
    source="made here",
    licence="none",
    fields=("id", "note", "answer", "patient"),
    answers=("yes", "no"),
)


def rows(count: int = 30) -> list[Row]:
    return [
        Row({"id": str(n), "note": f"note {n}", "answer": "no", "patient": str(n // 3)})
        for n in range(count)
    ]


@pytest.fixture
def dataset(tmp_path: Path) -> PreparedDataset:
    folds = make_folds(rows(), 5, seed=1, group=lambda row: row.fields["patient"])
    write_dataset(tmp_path / "out", FACTS, folds)
    return PreparedDataset(tmp_path / "out")


def test_folds_are_of_equal_size_and_share_no_patient(dataset):
    assert dataset.folds == [f"fold{n}" for n in range(5)]
    assert [dataset.card.counts[name] for name in dataset.folds] == [6] * 5
    patients = [set(dataset.split(name).column("patient")) for name in dataset.folds]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 10


@pytest.mark.parametrize("fold", range(5))
def test_each_fold_sees_every_row_once(dataset, fold):
    splits = {name: open_split(dataset, name, fold=fold) for name in ("train", "valid", "test")}
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 18,
        "valid": 6,
        "test": 6,
    }
    ids = [split[row]["id"] for split in splits.values() for row in range(len(split))]
    assert sorted(ids, key=int) == [str(n) for n in range(30)]
    assert splits["test"].name == f"fold{fold}"
    train = splits["train"]
    assert train.column("id") == [train.text("id", row) for row in range(len(train))]
    assert "fold" in train.locate(17)
    assert train.locate(17).endswith("row 6")


def test_wrong_folds_are_refused(dataset):
    for fold, message in ((None, "say which fold"), (5, "has folds 0 to 4"), (-1, "has folds")):
        with pytest.raises(ConfigError, match=message):
            open_split(dataset, "train", fold=fold)
    with pytest.raises(ConfigError, match="no split 'dev'"):
        open_split(dataset, "dev", fold=0)


def test_fold_of_an_ordinary_dataset_is_refused(tmp_path):
    write_dataset(tmp_path / "out", FACTS, {"train": rows(3)})
    with pytest.raises(ConfigError, match="leave out --fold"):
        open_split(PreparedDataset(tmp_path / "out"), "train", fold=0)


def test_too_few_groups_are_refused():
    with pytest.raises(DataError, match="3 groups cannot be split into 5"):
        make_folds(rows(9), 5, seed=1, group=lambda row: row.fields["patient"])
