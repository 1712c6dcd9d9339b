"""Cross-validation: a prepared dataset whose splits are folds, seen as train, valid and test."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, SupportsIndex

from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.errors import ConfigError

TRAIN, VALID, TEST = "train", "valid", "test"


class JoinedSplits:
    """Several splits of one dataset, one after the other, read like one `PreparedSplit`."""

    def __init__(self, parts: Sequence[PreparedSplit], *, name: str) -> None:
        self.parts = list(parts)
        self.name = name
        self.task, self.fields = parts[0].task, parts[0].fields
        self._ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        part, row = self.find(range(len(self))[index.__index__()])
        return self.parts[part][row]

    def text(self, name: str, row: int) -> str:
        """Return one field of one row."""
        part, row = self.find(row)
        return self.parts[part].text(name, row)

    def column(self, name: str) -> list[str]:
        """Return one field of all rows."""
        return [text for part in self.parts for text in part.column(name)]

    def locate(self, row: int) -> str:
        """Return file and row, counted from 1, for messages."""
        part, row = self.find(row)
        return self.parts[part].locate(row)

    @property
    def folder(self) -> Path:
        """Folder of the dataset."""
        return self.parts[0].folder

    def find(self, row: int) -> tuple[int, int]:
        """Return the number of a row's split, and of the row in it."""
        number = bisect_right(self._ends, row)
        return number, row - (self._ends[number - 1] if number else 0)


def fold_names(dataset: PreparedDataset, fold: int, split: str) -> list[str]:
    """Return the folds that make up ``split`` when fold number ``fold`` is the test set.

    The next fold (after the last one the first) is for validation, the others for training.

    Raises:
        ConfigError: the dataset has no such fold, or the split is none of the three.
    """
    folds = dataset.folds
    if not folds:
        raise ConfigError(f"{dataset.folder} is no cross-validation; leave out --fold")
    if not 0 <= fold < len(folds):
        raise ConfigError(f"--fold {fold}: {dataset.folder} has folds 0 to {len(folds) - 1}")
    test, valid = folds[fold], folds[(fold + 1) % len(folds)]
    parts = {
        TEST: [test],
        VALID: [valid],
        TRAIN: [name for name in folds if name not in (test, valid)],
    }
    if split not in parts:
        raise ConfigError(f"a fold has no split {split!r}; it has {', '.join(parts)}")
    return parts[split]


def open_split(
    dataset: PreparedDataset, split: str, *, fold: int | None = None
) -> PreparedSplit | JoinedSplits:
    """Open a split of a dataset, or of one fold of a cross-validation.

    Raises:
        ConfigError: a cross-validation without a fold, or a fold of something else.
        DataError: no such split.
    """
    if fold is None:
        if dataset.folds:
            raise ConfigError(
                f"{dataset.folder} is a cross-validation; say which fold to test on: --fold 0 to "
                f"{len(dataset.folds) - 1}"
            )
        return dataset.split(split)
    names = fold_names(dataset, fold, split)
    parts = [dataset.split(name) for name in names]
    return parts[0] if len(parts) == 1 else JoinedSplits(parts, name=split)
