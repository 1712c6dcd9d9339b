"""Rows of a large split are measured by several processes, with the same result."""

import multiprocessing
import signal
from pathlib import Path
from typing import Any

import pytest
from fairseq_data import make_dataset

from biomedgpt.data.prepared.dataset import PreparedDataset
from biomedgpt.errors import DataError
from biomedgpt.examples import lengths
from biomedgpt.examples.example_encoder import Candidates, ExampleEncoder
from biomedgpt.examples.lengths import lengths_of
from biomedgpt.tasks import get_task
from biomedgpt.vocabulary import Vocabulary


class Failing(ExampleEncoder):
    """Cannot measure two rows, the later of which is reached first."""

    def measure(self, example: Any, *args: Any, **options: Any) -> Any:
        if example["id"] in ("train-9", "train-20"):
            raise DataError("no length")
        return super().measure(example, *args, **options)


def test_several_processes_measure_what_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = PreparedDataset(make_dataset(tmp_path / "squares"))
    split = dataset.split("train")
    vocabulary = Vocabulary.load(dataset.folder / "vocabulary")
    task = get_task("vqa").with_(max_source_words=6)
    asked = {
        "candidates": Candidates.encode(vocabulary, task, dataset.card.answers[:1]),
        "image_size": 32,
    }
    alone = lengths_of(split, ExampleEncoder(vocabulary, task, **asked), None)
    monkeypatch.setattr(lengths, "_STRETCH", 5)
    monkeypatch.setattr(lengths, "_WORTH_A_WORKER", 1)
    monkeypatch.setattr(lengths, "_workers", lambda: 3)
    ignored = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a run that saves before it ends
    try:
        shared = lengths_of(split, ExampleEncoder(vocabulary, task, **asked), None)
        with pytest.raises(DataError, match=r"train\.h5: row 10: no length; see"):
            lengths_of(split, Failing(vocabulary, task, **asked), None)
    finally:
        signal.signal(signal.SIGTERM, ignored)
    assert shared.sizes.tolist() == alone.sizes.tolist()
    assert (shared.problems, shared.cut) == (alone.problems, alone.cut)
    assert (shared.outside, shared.first_outside) == (alone.outside, alone.first_outside)
    assert alone.outside
    assert alone.cut
    assert not multiprocessing.active_children()
