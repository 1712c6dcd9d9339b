"""What one piece of work holds, in files of its own: written by a worker, complete or not at all.

A shard is three files under one key in the shards' folder: ``KEY.h5`` with the rows (the format of
a prepared split), ``KEY.index`` with one `INDEX` record per row, and ``KEY.json``, which is written
last and says what the others were made of. Without a matching ``KEY.json`` a shard does not exist.
"""

import hashlib
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from biomedgpt.corpora.reader import Corpus, Reading, RowGroup, Work
from biomedgpt.corpora.registry import get_corpus
from biomedgpt.data.imaging.boxes import check_inside, parse_objects
from biomedgpt.data.imaging.images import decode_image, stored_image
from biomedgpt.data.prepared.writer import SplitWriter
from biomedgpt.data.rows import Row, Skipped, clean_text
from biomedgpt.errors import DataError
from biomedgpt.files import file_hash, staged, write_text
from biomedgpt.tasks import row_kinds

VERSION = 2
"""Of the readers and of this layout; shards of another version are made anew."""

INDEX = np.dtype(
    [
        # Hashes of its name, its group, and what makes a row the same as another.
        ("document", "<u8"),
        ("group", "<u8"),
        ("content", "<u8"),
        ("sequence", "<i8"),  # number of the document in the shard
        ("row", "<i8"),  # number of the row in the shard, -1 for a document without rows
        ("version", "<i4"),
    ]
)

MOST_ATTEMPTS = 3
"""Times a shard is begun before it is taken to be what kills its workers."""
MOST_REASONS = 100
"""Reasons for skipping that are kept per shard; all are counted."""


@dataclass(frozen=True)
class ShardTask:
    """Everything a worker needs to know to write a shard.

    Attributes:
        corpus: name of the corpus.
        work: what to read.
        raw: folder of the release.
        folder: where shards are kept; workers on other machines must see it under the same path.
        max_words: words of one passage.
        skip_bad: leave bad rows out.
        most_rows: stop after so many rows; 0 for all.
    """

    corpus: str
    work: Work
    raw: Path
    folder: Path
    max_words: int
    skip_bad: bool = False
    most_rows: int = 0

    @property
    def key(self) -> str:
        """Name of the shard's files, the same whatever other work there is."""
        text = f"{self.work.name}\n{self.work.start}\n{self.work.stop}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def file(self, suffix: str) -> Path:
        """Return one of the shard's files."""
        return self.folder / f"{self.key}.{suffix}"

    def origin(self) -> dict[str, Any]:
        """Say what the shard is made of: another answer means that it must be made anew."""
        stats = [(str(path), path.stat()) for path in self.work.files]
        text = json.dumps([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
        return {
            "version": VERSION,
            "corpus": self.corpus,
            "raw": str(self.raw),
            "work": self.work.name,
            "files": hashlib.sha256(text.encode()).hexdigest(),
            "max_words": self.max_words,
            "most_rows": self.most_rows,
        }


@dataclass(frozen=True)
class ShardReport:
    """What a finished shard holds.

    Attributes:
        documents: documents read, removals included.
        rows: rows written.
        skipped: bad rows left out.
        reasons: why, of the first ones.
        counts: what was left out on purpose.
        peak_memory: of the process that wrote it, in bytes.
        attempts: how often it was begun; more than once means that a worker died.
    """

    documents: int
    rows: int
    skipped: int
    reasons: list[str]
    counts: dict[str, int]
    peak_memory: int
    attempts: int


def finished(task: ShardTask) -> ShardReport | None:
    """Return the report of a shard that is there and whole, None where it must be written."""
    try:
        content = json.loads(task.file("json").read_text(encoding="utf-8"))
        if content["origin"] != task.origin():
            return None
        for suffix in ("h5", "index"):
            if file_hash(task.file(suffix)) != content["hashes"][suffix]:
                return None
        report = ShardReport(**content["report"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report if task.skip_bad or not report.skipped else None


def write_shard(task: ShardTask) -> ShardReport:
    """Read one piece of work and write its shard.

    Raises:
        DataError: a bad row, a damaged file, a full disk, or the third worker died of it.
    """
    corpus = get_corpus(task.corpus)
    reading = Reading(task.raw, task.max_words, Skipped(allowed=task.skip_bad))
    try:
        attempts = _begin(task)
        with (
            # Of this process alone: a worker that is taken for dead may still be writing.
            staged(task.file("index")) as unfinished,
            unfinished.open("wb") as index,
            SplitWriter(
                task.file("h5"), task=corpus.kind, fields=corpus.fields, check_ids=False
            ) as writer,
        ):
            documents = _write(corpus, task, reading, writer, index)
        report = ShardReport(
            documents=documents,
            rows=writer.rows,
            skipped=len(reading.skipped.reasons),
            reasons=reading.skipped.reasons[:MOST_REASONS],
            counts=dict(reading.counts),
            peak_memory=peak_memory(),
            attempts=attempts,
        )
        hashes = {suffix: file_hash(task.file(suffix)) for suffix in ("h5", "index")}
        content = {"origin": task.origin(), "hashes": hashes, "report": asdict(report)}
        write_text(task.file("json"), json.dumps(content))
    except OSError as error:
        raise DataError(
            f"{task.folder}: cannot write the shard of {task.work.name}: "
            f"{error.strerror or error}; fix that (workers must see this folder) and start again, "
            "finished shards are kept"
        ) from error
    finally:
        task.file("attempts").unlink(missing_ok=True)  # only a killed worker leaves it behind
    return report


def _begin(task: ShardTask) -> int:
    """Note that the shard is begun and return how often it was; each line is one worker."""
    with task.file("attempts").open("a+", encoding="utf-8") as file:
        file.seek(0)
        before = file.read().splitlines()
        if len(before) >= MOST_ATTEMPTS:
            raise DataError(
                f"{task.work.name}: {len(before)} workers died while they read it (memory? see "
                "their logs); leave this file out, or give them more memory, and start again"
            )
        file.write(f"{socket.gethostname()} {os.getpid()} {time.time():.0f}\n")
    return len(before) + 1


def _write(
    corpus: Corpus, task: ShardTask, reading: Reading, writer: SplitWriter, index: BinaryIO
) -> int:
    """Write rows and index; return the number of documents."""
    sequence = 0
    for document in corpus.read(task.work, reading):
        entry = np.zeros((), INDEX)
        entry["document"] = hashed(document.name)
        entry["group"] = hashed(document.group or document.name)
        entry["sequence"], entry["version"] = sequence, document.version
        for row, content in _usable(corpus, document, reading.skipped):
            with reading.skipped.catching():
                writer.add(row)
                entry["content"], entry["row"] = content, writer.rows - 1
                index.write(entry.tobytes())
                if writer.rows == task.most_rows:
                    return sequence + 1
        if not document.rows:  # not for one whose rows were all bad: that removes nothing
            entry["row"] = -1
            index.write(entry.tobytes())
        sequence += 1
    return sequence


def _usable(corpus: Corpus, document: RowGroup, skipped: Skipped) -> Iterator[tuple[Row, int]]:
    """Yield rows with their images read, and the hash of what makes two rows the same."""
    kind = row_kinds()[corpus.kind]
    for row in document.rows:
        image = row.image
        with skipped.catching():
            if isinstance(image, Path):
                image = stored_image(image, where=row.where)
                row = Row(row.fields, image, row.where)
            if kind.boxes and isinstance(image, bytes):
                size = decode_image(image, where=row.where).size
                for entry in parse_objects(row.fields[kind.boxes], where=row.where):
                    check_inside(entry.box, size, where=row.where)
            parts: list[str | bytes] = [
                clean_text(row.fields[name]).casefold() for name in kind.required
            ]
            if isinstance(image, bytes):
                parts.append(hashlib.sha256(image).digest())
            yield row, hashed(*parts)


def hashed(*parts: str | bytes) -> int:
    """Return a hash of 64 bits of texts or bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return int.from_bytes(digest.digest(), "little")


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
