"""Prepared rows and codes of images, read by worker processes."""

import multiprocessing
import pickle

import numpy as np
import pytest
from data_samples import write_sample
from worker_reads import read_first, read_last

from biomedgpt.data.prepared import PreparedDataset
from biomedgpt.vqgan.codes import CodesFile, CodesInfo, write_codes

INFO = CodesInfo(
    tokenizer="ab" * 32, num_codes=16, image_size=32, middle_grid=2, whole_size=24, whole_grid=3
)


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
    write_codes(split, INFO, middle, whole)
    codes = CodesFile(split)
    expected = codes.middle(0)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(read_first, [codes] * 3) == [expected] * 3
    assert pickle.loads(pickle.dumps(codes)).middle(0) == expected
