"""Worker processes: they read prepared rows and codes of images, and look for test images."""

import multiprocessing
import pickle

import numpy as np
import pytest
from data_samples import CODES, write_sample
from decontaminating import (
    QUESTION,
    clean,
    encoded,
    image_corpus,
    phantom,
    text_corpus,
    write_benchmark,
)
from worker_reads import read_first, read_last

from biomedgpt.data.prepared.codes import CodesFile, write_codes
from biomedgpt.data.prepared.dataset import PreparedDataset


@pytest.fixture
def split(tmp_path):
    write_sample(tmp_path / "sample")
    return PreparedDataset(tmp_path / "sample").split("train")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_same_rows(split, method):
    expected = split[-1]  # mapped here already, before the workers start
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(read_last, [split] * 4) == [expected] * 4
    assert pickle.loads(pickle.dumps(split))[-1] == expected


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_same_codes(split, method):
    middle = np.arange(8, dtype=np.int32).reshape(2, 4)
    whole = np.arange(18, dtype=np.int32).reshape(2, 9) % 16
    write_codes(split, CODES, middle, whole)
    codes = CodesFile(split)
    expected = codes.middle(0)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(read_first, [codes] * 3) == [expected] * 3
    assert pickle.loads(pickle.dumps(codes)).middle(0) == expected


def test_several_processes_find_the_same(tmp_path, monkeypatch):
    benchmark = write_benchmark(tmp_path / "bench")
    monkeypatch.setattr("biomedgpt.data.cleaning.decontaminate.PIECE", 4)
    images = {f"copy-{n}": encoded(phantom("test", n), "JPEG") for n in range(0, 12, 3)}
    images |= {f"other-{n}": encoded(phantom("valid", n)) for n in range(10)}
    folder = image_corpus(tmp_path / "corpus", images)
    one, kept = clean(folder, benchmark, tmp_path)
    two, also = clean(folder, benchmark, tmp_path, workers=2, overwrite=True)
    assert one.removed == two.removed
    assert kept == also == [name for name in images if name.startswith("other")]
    texts = text_corpus(tmp_path / "texts", [f"word {n} {QUESTION} end" for n in range(9)] + ["x"])
    _, kept = clean(texts, benchmark, tmp_path, workers=2, overwrite=True)
    assert kept == ["9"]
