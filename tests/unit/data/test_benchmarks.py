"""Every benchmark: its release is prepared, checked, described by a card; others are refused."""

from pathlib import Path

import pytest
from checkout import ROOT
from data_samples import nothing_left
from raw_releases.all import build, builders

from biomedgpt.data.prepare import prepare
from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.data.prepared.folds import open_split
from biomedgpt.data.prepared.integrity import check_dataset
from biomedgpt.data.registry import BENCHMARKS, DATASETS, PHANTOMS
from biomedgpt.data.spec import PrepareOptions
from biomedgpt.errors import DataError
from biomedgpt.tasks import get_task

OPTIONS = PrepareOptions(vocabulary=False)


def test_every_dataset_has_a_release_to_try():
    assert builders().keys() == DATASETS.keys() - {PHANTOMS.name}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_release_is_prepared_and_sound(name: str, tmp_path: Path) -> None:
    raw = build(name, tmp_path / "raw")
    prepare(name, raw=raw, out=tmp_path / "out", options=OPTIONS)
    assert check_dataset(tmp_path / "out").problems == []
    dataset = PreparedDataset(tmp_path / "out")
    assert dataset.card.name == name
    assert len(dataset.folds) == BENCHMARKS[name].folds
    fold = 0 if dataset.folds else None
    task = get_task(BENCHMARKS[name].task)
    for split in ("train", "test"):
        rows = open_split(dataset, split, fold=fold)
        assert len(rows) > 0
        for number in range(len(rows)):
            row = rows[number]
            assert row.keys() >= set(task.fields.all) | ({"image"} if task.fields.image else set())
            assert task.instruction(row)
            assert task.target(row)
            if dataset.card.answers and split == "train" and task.constrained:
                assert task.target(row) in dataset.card.answers


@pytest.mark.parametrize("name", BENCHMARKS)
def test_preparing_twice_gives_the_same(name: str, tmp_path: Path) -> None:
    raw = build(name, tmp_path / "raw")
    cards = [prepare(name, raw=raw, out=tmp_path / out, options=OPTIONS) for out in ("one", "two")]
    assert cards[0].hashes == cards[1].hashes


@pytest.mark.parametrize("name", BENCHMARKS)
def test_folder_of_another_dataset_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    others = [other for other in BENCHMARKS if BENCHMARKS[other].read != BENCHMARKS[name].read]
    raw = build(others[0] if others else name, tmp_path / "raw")
    if others:
        with pytest.raises(DataError) as caught:
            prepare(name, raw=raw, out=tmp_path / "parent" / "out", options=OPTIONS)
        assert "\n" not in str(caught.value)
        assert str(raw) in str(caught.value)
        assert nothing_left(tmp_path / "parent")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_card_says_what_the_registry_knows(name: str) -> None:
    spec = BENCHMARKS[name]
    card = (ROOT / "datasets" / spec.name / "README.md").read_text()
    assert f"biomedgpt data prepare {name} " in card
    assert spec.source in card
    for heading in ("## Prepare", "## Expected counts", "## Published numbers"):
        assert heading in card
    for row in ("| Task |", "| Source |", "| Licence |", "| Access |", "| Metric |"):
        assert row in card
    for count in spec.expected.values():
        assert f"{count:,}" in card
    for one in spec.published:
        assert f"{one.value * 100:.1f}" in card
