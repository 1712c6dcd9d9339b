"""Changed bytes of prepared data do not pass training's reader without a word."""

import sys
from pathlib import Path

import pytest
from checkout import ROOT

pytest.importorskip("fairseq", reason="needs the train extra")
sys.path.insert(0, str(ROOT))

from bench.mutations import FILES, outcome, read, run, write_data

COUNT = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("mutated"))


@pytest.mark.parametrize("what", FILES)
def test_changes_are_refused_or_change_nothing(folder: Path, what: str) -> None:
    outcomes, wrong = run(folder, what, COUNT, seed=3)
    assert wrong == []
    assert outcomes["refused"] > 0
    assert outcomes.total() == COUNT


def test_what_would_be_silent_is_found() -> None:
    assert outcome(lambda: ["a"], ["a"])[0] == "same"
    assert outcome(lambda: ["b"], ["a"])[0] == "silent"
    assert outcome(lambda: [str(1 / 0)], ["a"])[0] == "crash"


def test_rows_are_read_the_same_twice(folder: Path) -> None:
    assert read(folder) == read(folder)
