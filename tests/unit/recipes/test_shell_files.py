"""The shell files say what registry, tasks and recipes say."""

import dataclasses
from pathlib import Path

import pytest

from biomedgpt.data.registry import BENCHMARKS, DATASETS
from biomedgpt.recipes import shell_files
from biomedgpt.recipes.recipe import recipe_names


def test_no_shell_file_is_stale_or_left_over() -> None:
    stale = [path.name for path in shell_files.stale_files()]
    assert not stale, f"{stale}; run: python -m biomedgpt.recipes.shell_files"
    wanted = {path for name in recipe_names() for path in shell_files.shell_files(name)}
    there = {
        *shell_files.SCRIPTS.glob("*/train_*.sh"),
        *shell_files.SCRIPTS.glob("*/evaluate_*.sh"),
    }
    left = {path.name for path in there - wanted}
    assert left == {"evaluate_grounding.sh"}


def test_a_new_benchmark_gets_its_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = dataclasses.replace(DATASETS["slake"], name="new-one", title="NEW: questions", folds=3)
    monkeypatch.setitem(BENCHMARKS, "new-one", spec)
    monkeypatch.setitem(DATASETS, "new-one", spec)
    train, evaluate = shell_files.stale_files().items()
    assert [path.name for path, _ in (train, evaluate)] == [
        "train_new_one.sh",
        "evaluate_new_one.sh",
    ]
    for words in (
        "# Purpose: train on NEW: questions.",
        "biomedgpt data prepare new-one --raw RAW_DIR --out DATA",
        "--data DATA --save-dir RUN",
        "[--fold=N]",
        "in RUN/fold0 to fold2",
        "BiomedGPT-B accuracy 0.861",
    ):
        assert words in train[1]
    assert "also with blank images" in evaluate[1]
