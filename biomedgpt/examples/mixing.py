"""Training rows of several datasets as instructions, and epochs with balanced modalities."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.data.prepared.folds import TRAIN, JoinedSplits
from biomedgpt.data.raw.instruction_rows import INSTRUCTION_FIELDS
from biomedgpt.errors import ConfigError
from biomedgpt.examples.mixture import Mixture
from biomedgpt.tasks import Instruction, get_task

SEED = 1
"""Of balanced epochs: the same rows in a run that is resumed, whatever seed it is given."""


class InstructionSplit(PreparedSplit):
    """A split of instructions with the fields that all of them share.

    Args:
        dataset: the dataset.
        split: name of the split.

    Raises:
        DataError: no such split.
    """

    def __init__(self, dataset: PreparedDataset, split: str) -> None:
        verified = dataset.split(split)
        super().__init__(verified.path)
        self.sha256 = verified.sha256
        self.stored = frozenset(self.fields)
        self.fields = list(INSTRUCTION_FIELDS)

    def text(self, name: str, row: int) -> str:
        """Return one field of one row, "" where the dataset does not have it."""
        return super().text(name, row) if name in self.stored else ""


class AsInstructions(InstructionSplit):
    """A split of any task's rows, read as rows of instructions.

    What the task gives the encoder is the instruction, its target the answer; the dataset's name
    stands for the modality, and goes in front of the id.
    """

    def __init__(self, dataset: PreparedDataset, split: str) -> None:
        super().__init__(dataset, split)
        self.dataset_name = dataset.card.name
        self.kind = get_task(dataset.card.task)
        self.task = Instruction.name

    def text(self, name: str, row: int) -> str:
        """Return one field of one row."""
        if name in ("id", "dialogue"):
            return f"{self.dataset_name}/{super().text('id', row)}"
        if name == "modality":
            return self.dataset_name
        if name not in ("instruction", "answer"):
            return ""
        stored = super().text
        example = {field: stored(field, row) for field in self.stored}
        return (
            self.kind.instruction(example) if name == "instruction" else self.kind.target(example)
        )


def mixed_folders(text: str) -> list[Path]:
    """Return the folders that ``--mix`` names, separated by colons."""
    return [Path(name) for name in text.split(":") if name]


def modalities(split: PreparedSplit | JoinedSplits) -> list[str]:
    """Return the modality of each row.

    Raises:
        ConfigError: the rows are no instructions.
    """
    if split.task != Instruction.name:
        raise ConfigError(f"--balance modality is for instructions; {split.folder} has none")
    return split.column("modality")


def open_mixed(dataset: PreparedDataset, others: Sequence[Path]) -> JoinedSplits:
    """Return the training rows of a dataset of instructions and of others, of any task.

    Raises:
        ConfigError: the first holds no instructions, or a dataset is given twice.
        DataError: a folder that is no prepared dataset, or without a training split.
    """
    if dataset.card.task != Instruction.name:
        raise ConfigError(
            f"--mix adds to instructions; {dataset.folder} is for the task {dataset.card.task}"
        )
    parts: list[PreparedSplit] = [InstructionSplit(dataset, TRAIN)]
    folders = [dataset.folder.resolve()]
    for path in others:
        if path.resolve() in folders:
            raise ConfigError(f"--mix {path}: given twice")
        folders.append(path.resolve())
        other = PreparedDataset(path)
        same = other.card.task == Instruction.name
        parts.append(InstructionSplit(other, TRAIN) if same else AsInstructions(other, TRAIN))
    return JoinedSplits(parts, name=TRAIN)


class Balance:
    """Epochs in which no modality has more rows than the median one.

    An epoch holds all rows of the modalities that have few, and of the others as many as the median
    modality has (of an even number of them, the smaller of the two in the middle): others in each
    epoch, until all have been seen. Which rows those are, and in which order, is a function of seed
    and epoch.

    Args:
        modalities: of each row.
        seed: of all orders.

    Attributes:
        rows: rows by modality, the most frequent first.
        counts: rows in an epoch by modality.
    """

    def __init__(self, modalities: Sequence[str], *, seed: int) -> None:
        self.rows = dict(Counter(modalities).most_common())
        self.counts = balanced_counts(self.rows)
        total = sum(self.counts.values())
        names = np.array(modalities, dtype=object)
        self._members = [np.flatnonzero(names == name) for name in self.rows]
        self._mixture = Mixture(
            list(self.rows.values()),
            [self.counts[name] / total for name in self.rows],
            seed=seed,
            examples=total,
        )

    def __len__(self) -> int:
        return len(self._mixture)

    def epoch(self, number: int) -> NDArray[np.int64]:
        """Return the rows of an epoch (counted from 1), in order."""
        streams, places = self._mixture.epoch(number)
        rows = np.empty(len(streams), dtype=np.int64)
        for stream, members in enumerate(self._members):
            chosen = streams == stream
            rows[chosen] = members[places[chosen]]
        return rows

    def describe(self) -> str:
        """Say how many rows of each modality an epoch has, of how many."""
        return ", ".join(
            f"{name or 'unknown'} {self.counts[name]:,} of {count:,}"
            for name, count in self.rows.items()
        )


def balanced_counts(rows: Mapping[str, int]) -> dict[str, int]:
    """Return how many rows of each modality an epoch has; see `Balance`."""
    limit = median_low(rows.values())
    return {name: min(count, limit) for name, count in rows.items()}
