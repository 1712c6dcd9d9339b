"""Lengths of the rows of a split in tokens, which batches of similar length are made by.

Measuring encodes every text once, 46 to 287 microseconds a row. What is found is kept beside the
split for everything that it depends on (rows, vocabulary, task and its options, candidate answers),
so that the next start maps it. Large splits are measured by several processes.
"""

import dataclasses
import hashlib
import inspect
import json
import multiprocessing
import os
import signal
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from biomedgpt.data.prepared.arrays import ArrayFile
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.data.prepared.folds import JoinedSplits
from biomedgpt.data.prepared.new_file import new_hdf5
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.examples.answer_codes import AnswerCodes
from biomedgpt.examples.example_encoder import ExampleEncoder
from biomedgpt.files import file_hash

KEPT_FROM = 10_000
"""Rows of a split from which its lengths are kept: fewer are measured in a second or two."""
MOST_KEPT = 8
"""Files of lengths that a split has at most, as of several vocabularies."""
_FORMAT, _VERSION = "biomedgpt-lengths", 1
_STRETCH = 5000
"""Rows that are measured at a time."""
_WORTH_A_WORKER = 100_000
"""Rows for each further process."""
_TRIED = 100
"""Rows that are measured again to see whether what was kept still holds."""


@dataclass(frozen=True)
class Lengths:
    """What is known of the rows of a split before they are encoded."""

    sizes: NDArray[np.int32]
    """Tokens of source and of target, the prompt included; (rows, 2)."""
    problems: dict[str, int]
    """Rows by what would be cut of them, in the order in which they come."""
    cut: tuple[int, str] | None
    """The first of these rows, and its problem."""
    outside: int
    """Rows whose answer is no candidate."""
    first_outside: int | None
    """The first of these."""


def lengths_of(
    rows: PreparedSplit | JoinedSplits, encoder: ExampleEncoder, codes: AnswerCodes | None
) -> Lengths:
    """Return the lengths of rows, measured unless they are known.

    Raises:
        DataError: a row cannot be used; the message names file and row.
    """
    joined = rows if isinstance(rows, JoinedSplits) else JoinedSplits([rows], name=rows.name)
    found, start = [], 0
    for part in joined.parts:
        found.append(_Measuring(joined, start, part, encoder, codes).lengths())
        start += len(part)
    return _join(found)


@contextmanager
def naming(rows: PreparedSplit | JoinedSplits, row: int) -> Iterator[None]:
    """Name the file and the row in errors about its content."""
    try:
        yield
    except DataError as error:
        raise DataError(
            f"{rows.locate(row)}: {error}; see `biomedgpt data check {rows.folder}`"
        ) from error


@dataclass(frozen=True)
class _Measuring:
    """How a split is measured that may be one of several."""

    joined: JoinedSplits
    start: int
    part: PreparedSplit
    encoder: ExampleEncoder
    codes: AnswerCodes | None

    def lengths(self) -> Lengths:
        if len(self.part) < KEPT_FROM or not self.part.sha256:
            return self._measure()
        key = self._key()
        name = self.part.path.stem
        path = self.part.folder / f".{name}.lengths-{key[:16]}"
        kept = _read(path, key, len(self.part))
        if kept is not None and self._holds(kept):
            return kept
        found = self._measure()
        with suppress(ConfigError, OSError):  # a folder that cannot be written
            _write(path, key, found)
            older = sorted(self.part.folder.glob(f".{name}.lengths-*"), key=_written)
            for one in older[:-MOST_KEPT]:
                one.unlink(missing_ok=True)
        return found

    def _key(self) -> str:
        """Return a hash over all that lengths depend on."""
        encoder, task = self.encoder, self.encoder.task
        written_as = getattr(self.part, "kind", None)  # see `biomedgpt.examples.mixing`
        kinds = [kind for one in (task, self.part, written_as) for kind in type(one).__mro__]
        answers = None if encoder.paths is None else sorted(encoder.paths)
        facts = [
            self.part.sha256,
            getattr(self.part, "dataset_name", None),
            encoder.vocabulary.fingerprint,
            encoder.max_source_tokens,
            type(task).__qualname__,
            dataclasses.asdict(task),
            answers,
            None if self.codes is None or self.codes.info is None else self.codes.info.options(),
            sorted(file_hash(path) for path in filter(None, map(_source, dict.fromkeys(kinds)))),
        ]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def _holds(self, kept: Lengths) -> bool:
        """Say whether some rows are still of these lengths: no hash covers code of one's own."""
        rows = np.linspace(0, len(self.part) - 1, _TRIED).astype(int)
        return all(self._row(row)[:2] == tuple(kept.sizes[row].tolist()) for row in rows.tolist())

    def _row(self, row: int) -> tuple[int, int, str | None, bool]:
        example = {name: self.part.text(name, row) for name in self.part.fields}
        with naming(self.part, row):
            codes = () if self.codes is None else self.codes.of(self.start + row)
            found = self.encoder.measure(example, codes)
        return found.source, found.target, found.problem, found.candidate

    def _measure(self) -> Lengths:
        count = len(self.part)
        stretches = [range(n, min(n + _STRETCH, count)) for n in range(0, count, _STRETCH)]
        found: list[Lengths] = []
        with ExitStack() as stack:
            results: Iterator[Lengths] = map(self._measure_rows, stretches)
            workers = min(_workers(), count // _WORTH_A_WORKER)
            if workers > 1:
                # Forked, they have all that this process has read; nothing is sent but numbers.
                pool = stack.enter_context(
                    multiprocessing.get_context("fork").Pool(workers, _use, (self,))
                )
                results = pool.imap(_measure_rows, stretches)
            hidden = True if count < KEPT_FROM else None  # shown on a terminal
            name = f"measuring {self.part.name}"
            with tqdm(total=count, desc=name, unit=" rows", disable=hidden) as bar:
                for stretch, part in zip(stretches, results, strict=True):
                    found.append(part)
                    bar.update(len(stretch))
        return _join(found)

    def _measure_rows(self, rows: range) -> Lengths:
        sizes = np.zeros((len(rows), 2), np.int32)
        problems: Counter[str] = Counter()
        cut: tuple[int, str] | None = None
        outside: list[int] = []
        for place, row in enumerate(rows):
            *sizes[place], problem, candidate = self._row(row)
            if problem is not None:
                problems[problem] += 1
                cut = cut or (place, problem)
            if not candidate:
                outside.append(place)
        return Lengths(sizes, dict(problems), cut, len(outside), outside[0] if outside else None)


_in_worker: _Measuring | None = None


def _use(measuring: _Measuring) -> None:
    """Begin a worker, which ends as its pool says and has no checkpoints to write before."""
    global _in_worker
    _in_worker = measuring
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _measure_rows(rows: range) -> Lengths:
    assert _in_worker is not None
    return _in_worker._measure_rows(rows)


def _workers() -> int:
    """Return how many processes may work for this one: its share of the machine's cores."""
    if multiprocessing.current_process().daemon:
        return 1  # may have none
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return cores // max(int(os.environ.get("LOCAL_WORLD_SIZE") or 1), 1)


def _source(kind: type) -> Path | None:
    with suppress(TypeError):  # of a class that is built in, or typed in at a prompt
        path = inspect.getsourcefile(kind)
        return Path(path) if path is not None and Path(path).is_file() else None
    return None


def _join(parts: Sequence[Lengths]) -> Lengths:
    """Return the lengths of several stretches of rows, one after the other."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(one.sizes) for one in parts)]).tolist()
    problems: Counter[str] = Counter()
    for one in parts:
        problems.update(one.problems)
    pairs = list(zip(parts, starts, strict=False))
    return Lengths(
        sizes=np.concatenate([one.sizes for one in parts]),
        problems=dict(problems),
        cut=next(((start + one.cut[0], one.cut[1]) for one, start in pairs if one.cut), None),
        outside=sum(one.outside for one in parts),
        first_outside=next(
            (start + one.first_outside for one, start in pairs if one.first_outside is not None),
            None,
        ),
    )


def _written(path: Path) -> float:
    return path.stat().st_mtime


class _LengthsFile(ArrayFile):
    """Lengths as they are kept: an array, and the rest as JSON under a checksum of all."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, fix="remove it")
        with self._open(format=_FORMAT, newest=_VERSION, what="a file of lengths") as file:
            self._locate(file, "sizes", dtype="<i4", ndim=2)
            self.key = str(file.attrs["key"])
            self.facts = str(file.attrs["facts"])
            self.crc32 = int(file.attrs["crc32"])
        self.sizes: NDArray[np.int32] = self._map("sizes")


def _crc32(facts: str, sizes: NDArray[np.int32]) -> int:
    return zlib.crc32(np.ascontiguousarray(sizes).data, zlib.crc32(facts.encode()))


def _write(path: Path, key: str, lengths: Lengths) -> None:
    rest = {name: getattr(lengths, name) for name in _RESTORED}
    facts = json.dumps(rest, ensure_ascii=False)
    with new_hdf5(path) as file:
        found: dict[str, Any] = {"key": key, "facts": facts, "crc32": _crc32(facts, lengths.sizes)}
        file.attrs.update({"format": _FORMAT, "version": _VERSION, **found})
        file.create_dataset("sizes", data=lengths.sizes, dtype="<i4")


def _read(path: Path, key: str, rows: int) -> Lengths | None:
    """Return what is kept; None where there is nothing for this key, or it is damaged."""
    try:
        file = _LengthsFile(path)
        same = (file.key, file.sizes.shape) == (key, (rows, 2))
        if not same or file.crc32 != _crc32(file.facts, file.sizes):
            return None
        rest = json.loads(file.facts)
        rest["cut"] = None if rest["cut"] is None else tuple(rest["cut"])
        return Lengths(file.sizes, **rest)
    except (OSError, DataError, ValueError, KeyError, TypeError):
        return None


_RESTORED = [one.name for one in dataclasses.fields(Lengths) if one.name != "sizes"]
