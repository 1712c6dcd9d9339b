"""From shards to one dataset: later versions win, the same content is kept once.

Which rows stay is found out from the shards' indexes alone, in two rounds over files on disk that
each hold the entries of some hashes: first by document, then by content. Memory is one byte per row
and one such file; every hash is of 64 bits, so that among 40 million rows the chance that any two
different ones are taken for the same is 1 in 20,000.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from biomedgpt.corpora.shards import INDEX, ShardReport, ShardTask
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.data.rows import Row

Entries: TypeAlias = "np.ndarray[Any, np.dtype[np.void]]"
ENTRIES_AT_ONCE = 1_000_000
MOST_BUCKETS = 200


@dataclass(frozen=True)
class Selection:
    """Which rows of all shards stay.

    Attributes:
        keep: per row of all shards in order, 0 leave out, 1 train, 2 valid; uint8.
        offsets: where each shard's rows begin in it, and the end.
        replaced: rows of documents that came again or were removed.
        duplicates: rows with the content of an earlier one.
        cut: rows behind the limit.
    """

    keep: NDArray[np.uint8]
    offsets: list[int]
    replaced: int
    duplicates: int
    cut: int

    def rows(self, tasks: Sequence[ShardTask], split: int) -> Iterator[Row]:
        """Yield the rows of one split from all shards in order."""
        for task, start, stop in zip(tasks, self.offsets[:-1], self.offsets[1:], strict=True):
            chosen = np.flatnonzero(self.keep[start:stop] == split)
            if len(chosen):
                rows = PreparedSplit(task.file("h5"))
                for number in chosen:
                    fields = rows[int(number)]
                    yield Row(fields, fields.pop("image", None), task.work.name)


TRAIN, VALID = 1, 2


def select(
    tasks: Sequence[ShardTask],
    reports: Sequence[ShardReport],
    *,
    folder: Path,
    limit: int,
    valid_fraction: float,
    seed: int,
) -> Selection:
    """Decide which rows stay and in which split.

    Args:
        tasks: finished shards, in the order in which later documents replace earlier ones.
        reports: of them.
        folder: for temporary files.
        limit: take only so many rows of the shards, in order; 0 for all.
        valid_fraction: share of the groups that goes to validation.
        seed: of that choice.
    """
    offsets = np.cumsum([0, *(report.rows for report in reports)]).tolist()
    total = offsets[-1] if not limit else min(limit, offsets[-1])
    keep = np.zeros(offsets[-1], np.uint8)
    border = np.uint64(min(int(valid_fraction * 2.0**64), 2**64 - 1))
    with (
        _buckets(folder, total, "document") as documents,
        _buckets(folder, total, "content") as rows,
    ):
        sequence = 0
        for task, report, offset in zip(tasks, reports, offsets, strict=False):
            entries = np.fromfile(task.file("index"), INDEX)
            entries["sequence"] += sequence
            entries["row"][entries["row"] >= 0] += offset
            documents.add(entries[entries["row"] < total])
            sequence += report.documents
        for entries in documents:
            rows.add(_latest(entries))
        latest = rows.count
        for entries in rows:
            entries = _first_of_each(entries)
            valid = _mixed(entries["group"], seed) < border
            keep[entries["row"]] = np.where(valid, VALID, TRAIN)
    kept = int(np.count_nonzero(keep))
    return Selection(
        keep, offsets, replaced=total - latest, duplicates=latest - kept, cut=offsets[-1] - total
    )


def _latest(entries: Entries) -> Entries:
    """Return the rows of the documents that no other replaces, by version and then by order."""
    order = np.lexsort((entries["sequence"], entries["version"], entries["document"]))
    entries = entries[order]
    last = np.append(entries["document"][1:] != entries["document"][:-1], True)
    # Per entry, the sequence number of the last entry of its document.
    winner = np.repeat(entries["sequence"][last], np.diff(np.flatnonzero(last), prepend=-1))
    return entries[(entries["sequence"] == winner) & (entries["row"] >= 0)]


def _first_of_each(entries: Entries) -> Entries:
    """Return the first row of every content."""
    entries = entries[np.lexsort((entries["row"], entries["content"]))]
    first = np.append(True, entries["content"][1:] != entries["content"][:-1])
    return entries[first[: len(entries)]]


def _mixed(groups: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Mix hashes with a seed so that each bit depends on all (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        x = groups + np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


class _Buckets:
    """Entries on disk, in files by hash, each small enough to sort in memory."""

    def __init__(self, files: Sequence[IO[bytes]], field: str) -> None:
        self.count = 0
        self._files = files
        self._field = field

    def add(self, entries: Entries) -> None:
        """Append entries to the files of their hashes."""
        number = entries[self._field] % np.uint64(len(self._files))
        for bucket, file in enumerate(self._files):
            file.write(entries[number == bucket].tobytes())
        self.count += len(entries)

    def __iter__(self) -> Iterator[Entries]:
        for file in self._files:
            file.seek(0)
            yield np.frombuffer(file.read(), INDEX).copy()


@contextmanager
def _buckets(folder: Path, expected: int, field: str) -> Iterator[_Buckets]:
    """Make buckets for so many entries, whose files go with the block."""
    count = min(MOST_BUCKETS, 1 + expected // ENTRIES_AT_ONCE)
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(count)]
        yield _Buckets(files, field)
