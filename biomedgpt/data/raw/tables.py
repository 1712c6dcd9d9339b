"""Tables and records of raw releases, read row by row, with file and row for every problem.

All readers take UTF-8, with or without a byte-order mark, and any line end. Text in another
encoding is an error of its row (`check_text`) unless the encoding is named; nothing is guessed.
"""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from biomedgpt.data.rows import Skipped
from biomedgpt.errors import DataError, optional_import
from biomedgpt.files import open_bytes

UTF8 = "utf-8"
_BOM = "\ufeff"
_STRAY = re.compile("[\udc80-\udcff]")  # how surrogateescape keeps such bytes
_BETWEEN = re.compile(r"[ \t\r\n]*(,?)[ \t\r\n]*")  # two elements of a JSON array
_MOST_FIELD = 1 << 27  # characters of one field; csv stops at 131,072 by default
_PIECE = 1 << 20  # characters read at a time
_CUT = 16  # an error this near to the end of a piece may be the cut: half a number, name or escape


@dataclass(frozen=True)
class Record:
    """One row of a table or list.

    Attributes:
        where: file and row, counted from 1, for messages.
        values: by column name.
    """

    where: str
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a value as text, stripped; DataError when it is missing, empty or not text.

        Whole numbers count as text.
        """
        text = self.optional(name)
        if not text:
            raise DataError(f"{self.where}: empty {name}")
        return text

    def optional(self, name: str) -> str:
        """Return a value as text, stripped; "" where there is none."""
        value = self.values.get(name)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise DataError(f"{self.where}: {name} is neither text nor a whole number")
        text = str(value)
        check_text(text, where=f"{self.where}: {name}")
        return text.strip()

    def choice(self, name: str, allowed: Mapping[str, str]) -> str:
        """Return what ``allowed`` makes of a value; DataError when it is none of its keys."""
        text = self.text(name)
        if text not in allowed:
            raise DataError(
                f"{self.where}: {name} is {text!r}, must be one of {', '.join(allowed)}"
            )
        return allowed[text]


def check_text(text: str, *, where: str) -> None:
    """Raise a DataError when ``text`` holds bytes that were not UTF-8."""
    if byte := stray_byte(text):
        raise DataError(
            f"{where} is not UTF-8 (byte {byte}); convert the file, or name its encoding "
            "where the command has an option for it"
        )


def stray_byte(text: str) -> str:
    """Return the first byte of a text that is not of its encoding, as 0x..; "" if there is none."""
    found = None if text.isascii() else _STRAY.search(text)
    return f"0x{ord(found[0]) - 0xDC00:02x}" if found else ""


def read_csv(
    path: Path,
    *,
    columns: Sequence[str] = (),
    delimiter: str = ",",
    encoding: str = UTF8,
    header: Sequence[str] | None = None,
    skipped: Skipped | None = None,
) -> Iterator[Record]:
    """Yield the rows of a CSV or TSV file, also a gzipped one; blank lines are left out.

    Args:
        path: the file.
        columns: columns it must have.
        delimiter: between columns.
        encoding: of the text; bytes that are not of it make their row bad (see `check_text`).
        header: column names of a file without a header line.
        skipped: takes rows with too many or too few values; without it they are errors.

    Raises:
        DataError: the file cannot be read, lacks a column, or a row has too many or too few values.
    """
    csv.field_size_limit(_MOST_FIELD)
    try:
        with open_table(path, encoding=encoding) as file:
            if file.read(1) != _BOM:
                file.seek(0)
            lines = csv.reader(_bounded(file), delimiter=delimiter)
            names = list(header or [name.strip() for name in next(lines, [])])
            _require_columns(names, columns, where=str(path))
            for number, values in enumerate((line for line in lines if line), start=1):
                where = f"{path}: row {number}"
                if len(values) == len(names):
                    yield Record(where, dict(zip(names, values, strict=True)))
                else:
                    problem = f"{where}: {len(values)} values for {len(names)} columns"
                    if any("\n" in value or "\r" in value for value in values):
                        problem += " (a quotation mark that is not closed?)"
                    (skipped or Skipped()).take(DataError(problem))
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read as a table ({error})") from error


def _bounded(file: TextIO) -> Iterator[str]:
    """Yield the lines of a text; a small gzipped file may hold one that fills the memory."""
    while line := file.readline(_MOST_FIELD):
        if len(line) == _MOST_FIELD:
            raise csv.Error(f"a line of more than {_MOST_FIELD:,} characters")
        yield line


def open_table(path: Path, *, encoding: str = UTF8) -> TextIO:
    """Open a text table, decompressed when its name ends in ``.gz``; see `read_csv`."""
    opener = gzip.open if path.suffix == ".gz" else open
    return opener(path, "rt", encoding=encoding, errors="surrogateescape", newline="")


def read_objects(path: Path, skipped: Skipped, *, columns: Sequence[str] = ()) -> Iterator[Record]:
    """Yield the objects of a JSON array, or of a file with one JSON object per line.

    Which of the two it is, the first character says; names mislead (``.json`` holds either). Memory
    holds one object and a piece of the file at a time, so that arrays of gigabytes can be read.

    Args:
        path: the file, also gzipped.
        skipped: takes elements that are no objects or lack a column, and bad lines.
        columns: keys every object must have.

    Raises:
        DataError: the file cannot be read, or an array is damaged (what follows the damage cannot
            be told apart).
    """
    try:
        with open_table(path) as file:
            head = ""
            while not head and (piece := file.read(_PIECE)):
                head = piece.removeprefix(_BOM).lstrip()
            if not head.startswith("["):
                yield from good_records(read_lines(path), skipped, columns=columns)
                return
            for number, value in enumerate(_array_elements(file, head[1:], path), start=1):
                with skipped.catching():
                    yield object_record(value, where=f"{path}: row {number}", columns=columns)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _array_elements(file: TextIO, text: str, path: Path) -> Iterator[Any]:
    """Yield the elements of an array whose opening bracket has been read; ``text`` follows it."""
    decode = json.JSONDecoder().raw_decode
    place, number, ended = 0, 1, False

    def damage(reason: object) -> DataError:
        return DataError(f"{path}: row {number}: not valid JSON ({reason}); get the file again")

    while True:
        between = _BETWEEN.match(text, place)
        assert between is not None  # nothing is matched, too
        comma, start = between[1], between.end() if number > 1 else between.start(1)
        problem = "the file ends within the list"
        if start < len(text):
            if text[start] == "]" and not comma:
                if rest := text[start + 1 :].strip() or file.read(_PIECE).strip():
                    raise damage(f"{rest[:20]!r} after the end of the list")
                return
            if number > 1 and not comma:
                raise damage(f"a comma is missing before {text[start]!r}")
            try:
                value, place = decode(text, start)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos + _CUT >= len(text)
                if not cut:
                    raise damage(error.msg) from error
                problem = error.msg if ended else problem
            except RecursionError as error:
                raise damage("nested too deeply") from error
            else:
                yield value
                number += 1
                continue
        if ended:
            raise damage(problem)
        text, place = text[place:], 0
        if len(text) > _MOST_FIELD:
            raise damage(f"an element of more than {_MOST_FIELD:,} characters")
        more = file.read(max(_PIECE, len(text)))
        ended = not more
        text += more


def read_json(path: Path, *, hint: str) -> Any:
    """Return the content of a JSON file; DataError, with what to do, when it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}); {hint}") from error


def read_lines(path: Path, *, encoding: str = UTF8) -> Iterator[tuple[str, str]]:
    """Yield (file and row, line) of a text file, line ends and byte-order mark removed."""
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = line.removeprefix(_BOM.encode())
            text = line.rstrip(b"\r\n").decode(encoding, errors="surrogateescape")
            yield f"{path}: row {number}", text


def read_text(path: Path, *, encoding: str = UTF8) -> str:
    """Return a whole text file; DataError naming the byte where it is not of its encoding."""
    with open_bytes(path) as file:
        try:
            return file.read().decode(encoding).removeprefix(_BOM)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not {encoding} text (byte {error.start})") from error


def read_parquet(paths: Sequence[Path], *, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the rows of Parquet files, such as the shards of one split, in constant memory.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: a file that is not Parquet or lacks a column.
    """
    for path in paths:
        with _open_parquet(path) as file:
            _require_columns(file.schema_arrow.names, columns, where=str(path))
            batches = file.iter_batches(batch_size=256, columns=list(columns))
            records = (values for batch in batches for values in batch.to_pylist())
            for number, values in enumerate(records, start=1):
                yield Record(f"{path}: row {number}", values)


def parquet_columns(path: Path) -> list[str]:
    """Return the columns of a Parquet file; raises what `read_parquet` does."""
    with _open_parquet(path) as file:
        names: list[str] = file.schema_arrow.names
    return names


@contextmanager
def _open_parquet(path: Path) -> Iterator[Any]:
    with optional_import("Parquet files need pyarrow; run: pip install pyarrow"):
        import pyarrow
        import pyarrow.parquet
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (OSError, UnicodeError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: not readable as Parquet ({reason})") from error


def parquet_shards(raw: Path, split: str) -> list[Path]:
    """Return the Parquet files of one split of a hub download, in order.

    They are named ``<split>-00000-of-00002-....parquet``, ``<split>.parquet`` or (in the hub's
    automatic conversion) ``<split>/0000.parquet``, in the folder itself, in ``data/``, or in
    another folder one level below (a configuration).
    """
    folders = [raw, *sorted(path for path in raw.iterdir() if path.is_dir())]
    for folder in folders:
        for pattern in (f"{split}-*.parquet", f"{split}.parquet", f"{split}/*.parquet"):
            if shards := sorted(folder.glob(pattern)):
                return shards
    return []


def parquet_image(value: Any, *, where: str) -> bytes:
    """Return the encoded image of a hub's image column: ``{"bytes": ..., "path": ...}``."""
    data = value.get("bytes") if isinstance(value, Mapping) else value
    if not isinstance(data, bytes) or not data:
        raise DataError(f"{where}: the image column holds no image")
    return data


def good_records(
    lines: Iterable[tuple[str, str]], skipped: Skipped, *, columns: Sequence[str] = ()
) -> Iterator[Record]:
    """Yield JSON objects from lines (see `read_lines`); bad ones go to ``skipped``."""
    for where, line in lines:
        if line.strip():
            with skipped.catching():
                yield json_record(line, where=where, columns=columns)


def json_record(line: str, *, where: str, columns: Sequence[str] = ()) -> Record:
    """Return a JSON object; DataError when the text is none, or lacks one of ``columns``."""
    check_text(line, where=where)
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON ({error})") from error
    return object_record(values, where=where, columns=columns)


def object_record(values: Any, *, where: str, columns: Sequence[str] = ()) -> Record:
    """Return an object of JSON; DataError when it is none or lacks a column."""
    if not isinstance(values, dict):
        raise DataError(f"{where}: not a JSON object")
    missing = [name for name in columns if name not in values]
    if missing:
        raise DataError(f"{where}: lacks {', '.join(missing)}")
    return Record(where, values)


def _require_columns(names: Sequence[str], columns: Sequence[str], *, where: str) -> None:
    missing = [name for name in columns if name not in names]
    if missing:
        raise DataError(
            f"{where}: no column {' and '.join(map(repr, missing))}; it has {', '.join(names)}"
        )


def require_first(records: Iterable[Record], keys: Sequence[Iterable[str]], error: str) -> Record:
    """Return the first record, to see whether a file is the right one.

    Raises:
        DataError: with the text ``error`` where there is none, or it has not all of one of
            ``keys``.
    """
    first = next(iter(records), None)
    if first is None or not any(set(names) <= first.values.keys() for names in keys):
        raise DataError(error)
    return first
