"""Lengths of rows are measured once for all that they depend on, and never taken from elsewhere."""

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fairseq_data import make_dataset
from raw_releases.instructions import write_vital_dataset

from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import DataError
from biomedgpt.examples import lengths
from biomedgpt.examples.example_encoder import Candidates, ExampleEncoder
from biomedgpt.examples.lengths import Lengths, lengths_of
from biomedgpt.examples.mixing import open_mixed
from biomedgpt.tasks import get_task
from biomedgpt.vocabulary import Vocabulary

LONG_AGO = (1_600_000_000, 1_600_000_000)


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "KEPT_FROM", 1)
    monkeypatch.setattr(lengths, "_TRIED", 3)


@pytest.fixture
def dataset(tmp_path: Path) -> PreparedDataset:
    return PreparedDataset(make_dataset(tmp_path / "squares"))


class Counting(ExampleEncoder):
    """Counts the rows that it measures."""

    measured = 0

    def measure(self, *args: Any, **options: Any) -> Any:
        self.measured += 1
        return super().measure(*args, **options)


def encoder(dataset: PreparedDataset, *, answers: Any = None, **options: Any) -> Counting:
    vocabulary, task = Vocabulary.load(dataset.folder / "vocabulary"), get_task("vqa")
    task = task.with_(**options)
    answers = dataset.card.answers if answers is None else answers
    candidates = Candidates.encode(vocabulary, task, answers)
    return Counting(vocabulary, task, image_size=32, candidates=candidates)


def measured(dataset: PreparedDataset, encoder: Counting) -> tuple[int, Lengths]:
    """Return how many rows were measured, and the lengths."""
    before = encoder.measured
    found = lengths_of(dataset.split("train"), encoder, None)
    return encoder.measured - before, found


def same(one: Lengths, other: Lengths) -> bool:
    empty = np.zeros((0, 2), np.int32)
    return bool((one.sizes == other.sizes).all()) and replace(one, sizes=empty) == replace(
        other, sizes=empty
    )


def test_a_second_start_measures_a_few_rows_to_see(dataset: PreparedDataset) -> None:
    options: list[dict[str, Any]] = [{}, {"max_source_words": 3}, {"prompt_type": "src"}]
    asked = [encoder(dataset, **one) for one in options]
    asked.append(encoder(dataset, answers=["yes", "red"]))
    first = [measured(dataset, one) for one in asked]
    assert [count for count, _ in first] == [24] * 4
    for one, (_, found) in zip(asked, first, strict=True):
        again = measured(dataset, one)
        assert again[0] == 3
        assert same(again[1], found)
    assert first[1][1].problems == {"source has more than 3 words": 24}
    assert first[1][1].cut == (0, "source has more than 3 words")
    assert not same(first[0][1], first[2][1])
    assert first[0][1].outside == 0 < first[3][1].outside


def test_few_rows_and_rows_that_were_not_verified_leave_no_file(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = dataset.unverified_split("train")
    lengths_of(split, encoder(dataset), None)
    monkeypatch.setattr(lengths, "KEPT_FROM", 25)
    measured(dataset, encoder(dataset))
    assert not list(dataset.folder.glob(".*.lengths-*"))


def test_other_rows_are_measured(dataset: PreparedDataset, tmp_path: Path) -> None:
    measured(dataset, encoder(dataset))
    other = PreparedDataset(make_dataset(tmp_path / "other", name="other", train=20))
    (name,) = (path.name for path in dataset.folder.glob(".train.lengths-*"))
    (dataset.folder / name).rename(other.folder / name)
    assert measured(other, encoder(other))[0] == 20


def test_code_that_changes_what_is_encoded_is_noticed(dataset: PreparedDataset) -> None:
    measured(dataset, encoder(dataset))

    class Other(Counting):
        def encode_source(self, example: Any) -> list[int]:
            return [*super().encode_source(example), 0]

        def _encode_source(self, example: Any) -> Any:
            ids, lost = super()._encode_source(example)
            return [*ids, 0], lost

    asked = encoder(dataset)
    other = Other(asked.vocabulary, asked.task, image_size=32)
    other.paths = asked.paths
    count, found = measured(dataset, other)
    assert count > 24
    assert same(found, measured(dataset, other)[1])


def test_a_damaged_file_is_made_anew(dataset: PreparedDataset) -> None:
    asked = encoder(dataset)
    _, found = measured(dataset, asked)
    (path,) = dataset.folder.glob(".train.lengths-*")
    data = path.read_bytes()
    draw = random.Random(1)
    for _ in range(60):
        changed = bytearray(data)
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        assert same(measured(dataset, asked)[1], found)
    path.write_bytes(data[:-40])
    assert measured(dataset, asked)[0] == 24
    assert path.read_bytes() == data


def test_a_folder_that_cannot_be_written_is_no_obstacle(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    asked = encoder(dataset)
    monkeypatch.setattr("h5py.Group.create_dataset", refuse)
    assert [measured(dataset, asked)[0] for _ in range(2)] == [24, 24]


def test_files_do_not_pile_up(dataset: PreparedDataset) -> None:
    for number in range(12):
        measured(dataset, encoder(dataset, max_source_words=20 + number))
        for path in dataset.folder.glob(".train.lengths-*"):
            os.utime(path, LONG_AGO)
    assert len(list(dataset.folder.glob(".train.lengths-*"))) == lengths.MOST_KEPT


def test_mixed_rows_have_the_lengths_that_they_are_encoded_to(tmp_path: Path) -> None:
    pytest.importorskip("fairseq", reason="needs the train extra")
    from fairseq_ext.fairseq_dataset import PreparedFairseqDataset

    vital = PreparedDataset(write_vital_dataset(tmp_path / "vital"))
    rows = open_mixed(vital, [make_dataset(tmp_path / "squares")])
    vocabulary = Vocabulary.load(vital.folder / "vocabulary")
    asked = ExampleEncoder(vocabulary, get_task("instruction"), image_size=32)
    found = [PreparedFairseqDataset(rows, asked, shuffle=False) for _ in range(2)]
    assert found[0].sizes.tolist() == found[1].sizes.tolist()
    assert len(list(tmp_path.rglob(".train.lengths-*"))) == 2
    for number in range(len(rows)):
        sample = found[1][number]
        sizes = (len(sample["source"]), len(sample["prev_output_tokens"]))
        assert sizes == found[1].size(number)
    found[1].sizes = found[1].sizes + 1
    with pytest.raises(DataError, match=r"row 1: encoded to another length .* remove"):
        found[1][0]


@pytest.mark.parametrize("again", [False, True])
def test_errors_name_the_same_row_whether_kept_or_not(
    dataset: PreparedDataset, again: bool
) -> None:
    pytest.importorskip("fairseq", reason="needs the train extra")
    from fairseq_ext.fairseq_dataset import PreparedFairseqDataset

    split = dataset.split("train")
    answers = split.column("answer")
    asked = encoder(dataset, answers=[answers[0]], max_source_words=6)
    long = next(row for row, text in enumerate(split.column("question")) if text.count(" ") > 5)
    outside = next(row for row, answer in enumerate(answers) if answer != answers[0])
    if again:
        measured(dataset, asked)
    for options, row in (
        ({"strict": True}, long),
        ({"closed": True}, outside),
        ({"strict": True, "closed": True}, min(long, outside)),
    ):
        with pytest.raises(DataError, match=rf"train\.h5: row {row + 1} \(id 'train-{row}'\): "):
            PreparedFairseqDataset(split, asked, shuffle=True, **options)
