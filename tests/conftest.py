"""Shared by all tests: where real data lies, and one thread for each process."""

import os
from pathlib import Path

# Before torch is imported. Models are small here, and processes that share cores must not wait for
# each other's threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("BIOMEDGPT_TASKS", None)  # tasks of one's own are not under test

import pytest
from checkout import SHARED, require


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real datasets (``$BIOMEDGPT_DATA`` or ``../shared/data``)."""
    return require(Path(os.environ.get("BIOMEDGPT_DATA", SHARED / "data")), "real datasets")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder with the golden numbers of the reference model."""
    return require(SHARED / "golden", "golden numbers of the reference model")


@pytest.fixture(scope="session")
def gpt2_bpe() -> Path:
    """Folder with ``encoder.json``, ``vocab.bpe`` and ``dict.txt`` in OFA's layout."""
    return require(SHARED / "assets" / "gpt2_bpe", "GPT-2 BPE files in OFA's layout")
