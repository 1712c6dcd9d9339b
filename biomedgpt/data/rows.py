"""What every reader of raw data shares: rows, text cleaning, skipping, holding out."""

import random
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from biomedgpt.errors import ConfigError, DataError, machine_fault

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Row:
    """One example on its way into a prepared dataset.

    Attributes:
        fields: text by field name; ``id`` is always among them.
        image: encoded image (JPEG, PNG, ...), or the file that holds it; ``None`` without one.
        where: file and row this came from, for error messages.
    """

    fields: Mapping[str, str]
    image: bytes | Path | None = None
    where: str = ""


@dataclass
class Skipped:
    """Rows that could not be used: the first one is an error unless skipping is allowed.

    Attributes:
        allowed: leave bad rows out instead of stopping.
        reasons: one line per row left out.
    """

    allowed: bool = False
    reasons: list[str] = field(default_factory=list)

    def take(self, error: DataError) -> None:
        """Note ``error``; raises it, with the way out, unless skipping is allowed.

        What the machine failed in (see `biomedgpt.errors.machine_fault`) is no bad row, and raised.
        """
        if machine_fault(error) or machine_fault(sys.exception()):
            raise DataError(
                f"{error}; the machine's fault and not the row's: fix that, and start again"
            ) from error
        if not self.allowed:
            raise DataError(f"{error}; fix it, or leave such rows out with --skip-bad") from error
        self.reasons.append(str(error))

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Take the DataError that ends the block, if one does."""
        try:
            yield
        except DataError as error:
            self.take(error)


def good_rows(
    items: Iterable[Item], parse: Callable[[Item], Made], skipped: Skipped
) -> Iterator[Made]:
    """Yield ``parse(item)`` for every item that parses; the others go to ``skipped``."""
    for item in items:
        with skipped.catching():
            yield parse(item)


def clean_text(text: str) -> str:
    """Collapse every run of white space (tabs and line ends too) to one space and strip."""
    return " ".join(text.split())


def question_key(question: str) -> str:
    """Return the form under which two questions count as the same one."""
    return clean_text(question).lower().rstrip(" ?.")


def patient_of(row: Row) -> str:
    """Return the patient of a row, who must be on one side of a split."""
    return row.fields["patient"]


def hold_out(
    rows: Iterable[Item], fraction: float, *, seed: int, group: Callable[[Item], Hashable]
) -> tuple[list[Item], list[Item]]:
    """Split ``rows`` into (kept, held out) so that no group is on both sides.

    Whole groups are drawn at random until they hold at least ``fraction`` of the rows; the draw
    depends on ``seed`` and on the groups in order of appearance, not on hashing.

    Raises:
        ConfigError: ``fraction`` is not within [0, 1), or nothing is left to keep.
    """
    if not 0.0 <= fraction < 1.0:
        raise ConfigError(f"the validation fraction must be at least 0 and below 1, not {fraction}")
    rows = list(rows)
    sizes = Counter(group(row) for row in rows)
    order = list(sizes)
    random.Random(seed).shuffle(order)
    chosen: set[Hashable] = set()
    taken = 0
    for key in order:
        if taken >= fraction * len(rows):
            break
        chosen.add(key)
        taken += sizes[key]
    if rows and taken == len(rows):
        raise ConfigError(
            f"a validation fraction of {fraction} takes all {len(sizes)} groups of the training "
            "split; give a smaller one"
        )
    kept = [row for row in rows if group(row) not in chosen]
    held_out = [row for row in rows if group(row) in chosen]
    return kept, held_out


def make_folds(
    rows: Iterable[Item], count: int, *, seed: int, group: Callable[[Item], Hashable]
) -> dict[str, list[Item]]:
    """Split ``rows`` into ``fold0``, ``fold1``, ... so that no group is in two of them.

    Groups are shuffled from ``seed`` and dealt to whichever fold is smallest so far, so that folds
    are of nearly equal size. The rows may be anything that stands for one.

    Raises:
        DataError: fewer groups than folds.
    """
    rows = list(rows)
    members: dict[Hashable, list[Item]] = {}
    for row in rows:
        members.setdefault(group(row), []).append(row)
    if len(members) < count:
        raise DataError(f"{len(members)} groups cannot be split into {count} folds")
    order = list(members)
    random.Random(seed).shuffle(order)
    folds: dict[str, list[Item]] = {f"fold{number}": [] for number in range(count)}
    for key in order:
        smallest = min(folds, key=lambda name: len(folds[name]))
        folds[smallest] += members[key]
    return folds
