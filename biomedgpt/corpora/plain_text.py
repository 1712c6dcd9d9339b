"""Plain text: files with one document per line, or with one document each.

Both take ``.txt`` files in UTF-8 anywhere below the raw folder.
"""

from collections.abc import Iterator
from pathlib import Path

from biomedgpt.corpora import passages
from biomedgpt.corpora.reader import Corpus, Reading, RowGroup, Work, files_below, relative_name
from biomedgpt.data.raw.tables import check_text
from biomedgpt.data.rows import Row
from biomedgpt.errors import DataError
from biomedgpt.files import open_bytes

SUFFIXES = (".txt",)
PART_BYTES = 1 << 28
"""Files with a document per line are read in parts of about this size, one worker each."""
MAX_DOCUMENT = 1 << 26
"""Bytes of one document."""
FILES_AT_ONCE = 500


def plan_lines(raw: Path) -> list[Work]:
    """Return a piece of work per file, several for large ones."""
    return [
        piece
        for path in files_below(raw, SUFFIXES, what="text files")
        for piece in Work.of_parts(path, relative_name(path, raw), size=PART_BYTES)
    ]


def plan_files(raw: Path) -> list[Work]:
    """Return pieces of work of many files each."""
    paths = files_below(raw, SUFFIXES, what="text files")
    return Work.of_batches(paths, raw, size=FILES_AT_ONCE)


def lines_between(path: Path, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Yield (place in bytes, line) of the lines that begin in ``start`` to ``stop`` (0: the end).

    Raises:
        DataError: the file cannot be read, or a line is longer than a document may be.
    """
    with open_bytes(path) as file:
        if start:
            file.seek(start - 1)
            file.readline()  # the rest of a line that begins in the part before
        place = file.tell()
        while (not stop or place < stop) and (line := file.readline(MAX_DOCUMENT + 1)):
            if len(line) > MAX_DOCUMENT:
                raise DataError(
                    f"{path}: the line at byte {place} is longer than {MAX_DOCUMENT >> 20} MiB; "
                    "cut it into documents"
                )
            yield place, line
            place += len(line)


def read_lines(work: Work, reading: Reading) -> Iterator[RowGroup]:
    """Yield a document per line; blank lines are passed over."""
    (path,) = work.files
    name = relative_name(path, reading.raw)
    for place, line in lines_between(path, work.start, work.stop):
        yield from _document(f"{name}:{place}", line, reading, where=f"{path}: byte {place}")


def read_files(work: Work, reading: Reading) -> Iterator[RowGroup]:
    """Yield a document per file; empty lines separate its paragraphs."""
    for path in work.files:
        with open_bytes(path) as file:
            data = file.read(MAX_DOCUMENT + 1)
        if len(data) > MAX_DOCUMENT:
            reading.skipped.take(DataError(f"{path}: longer than {MAX_DOCUMENT >> 20} MiB"))
        else:
            yield from _document(relative_name(path, reading.raw), data, reading, where=str(path))


def _document(name: str, data: bytes, reading: Reading, *, where: str) -> Iterator[RowGroup]:
    """Yield the document that an encoded text is, nothing for a blank or a bad one."""
    with reading.skipped.catching():
        text = data.decode("utf-8-sig", errors="surrogateescape")
        check_text(text, where=where)
        texts = passages.cut(text.split("\n\n"), reading.max_words)
        if not texts:
            reading.counts["blank"] += 1
            return
        ids = [name] if len(texts) == 1 else [f"{name}-{number}" for number in range(len(texts))]
        rows = [
            Row({"id": row_id, "text": passage}, None, where)
            for row_id, passage in zip(ids, texts, strict=True)
        ]
        yield RowGroup(name, rows)


CORPORA = tuple(
    Corpus(
        name=name,
        title=title,
        kind="text",
        source="own files",
        licence="that of the files",
        plan=plan,
        read=read,
        cleaning=("cut into passages", "white space collapsed to one space and stripped"),
        passages=True,
    )
    for name, title, plan, read in (
        ("text-lines", "own text files with one document per line", plan_lines, read_lines),
        ("text-files", "own text files with one document each", plan_files, read_files),
    )
)
