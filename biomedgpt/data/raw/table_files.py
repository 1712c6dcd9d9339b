"""Opening one's own table: which kind of file, which delimiter, which columns."""

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from biomedgpt.data.raw.tables import (
    UTF8,
    Record,
    good_records,
    open_table,
    parquet_columns,
    read_csv,
    read_lines,
    read_parquet,
    stray_byte,
)
from biomedgpt.data.rows import Skipped
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.files import open_bytes

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_USUAL_DELIMITER = {"csv": ",", "tsv": "\t"}
# First bytes of what people rename to .csv.
_SIGNATURES = {
    b"PK\x03\x04": "an Excel workbook or ZIP file; save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the sheet as CSV",
    b"PAR1": "a Parquet file; name it .parquet",
    b"\x1f\x8b": "gzip-compressed; unpack it",
    b"\x89PNG": "an image; give the table that lists the images",
    b"%PDF": "a PDF; give a table",
}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_RECORDS_FOR_KEYS = 100
_MOST_QUOTED = 80
_MOST_LISTED = 40
_MOST_HEADER = 1 << 20  # characters


@dataclass(frozen=True)
class TableFile:
    """A table that was looked at: `open_file` makes one.

    Attributes:
        path: the file.
        kind: ``csv``, ``tsv``, ``jsonl`` or ``parquet``.
        columns: names of its columns.
        encoding: of its text.
        delimiter: between columns, of csv and tsv.
    """

    path: Path
    kind: str
    columns: tuple[str, ...]
    encoding: str = UTF8
    delimiter: str = ""

    def describe(self) -> str:
        """Say how the file is read, in a few words."""
        how = self.kind
        if self.delimiter:
            how = f"columns separated by {DELIMITERS[self.delimiter]}, encoding {self.encoding}"
        return f"{self.path.name}: {how}, {len(self.columns)} columns"

    def records(self, columns: Sequence[str], skipped: Skipped) -> Iterator[Record]:
        """Yield the rows with at least ``columns``; rows that cannot be read go to ``skipped``."""
        for record in self._all(columns, skipped):
            with skipped.catching():
                for column in columns:
                    value = record.values.get(column)
                    if isinstance(value, str):
                        check_encoding(value, self.encoding, where=f"{record.where}: {column}")
                yield record

    def _all(self, columns: Sequence[str], skipped: Skipped) -> Iterator[Record]:
        if self.kind == "parquet":
            return read_parquet([self.path], columns=columns)
        if self.kind == "jsonl":
            return good_records(_decoded_lines(self.path, self.encoding, skipped), skipped)
        return read_csv(
            self.path, delimiter=self.delimiter, encoding=self.encoding, skipped=skipped
        )


def open_file(path: Path, *, encoding: str) -> TableFile:
    """Look at a table: kind by its name, delimiter by its first line.

    Raises:
        DataError: there is no such file, it is empty, or no table.
        ConfigError: an encoding that does not exist, or none that this kind of file can have.
    """
    kind = KINDS.get(path.suffix.lower())
    if path.is_dir():
        raise DataError(f"{path}: a folder; give the table, a file")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if kind is None:
        known = ", ".join(KINDS)
        raise ConfigError(f"{path}: the kind of table is known by the ending; one of {known}")
    encoding = _known_encoding(encoding)
    if kind == "parquet":
        if encoding != UTF8:
            raise ConfigError(f"{path}: Parquet files have no other encoding; leave out --encoding")
        return TableFile(path, kind, tuple(parquet_columns(path)))
    _refuse_other_kinds(path, encoding)
    if kind == "jsonl":
        return TableFile(path, kind, _keys(path, encoding), encoding)
    delimiter, columns = _header(path, encoding, usual=_USUAL_DELIMITER[kind])
    return TableFile(path, kind, columns, encoding, delimiter)


def check_encoding(text: str, encoding: str, *, where: str) -> None:
    """Raise a DataError, with the way out, when ``text`` has bytes that are not ``encoding``."""
    if byte := stray_byte(text):
        hint = "if the table comes from Windows, try --encoding cp1252"
        if encoding != UTF8:
            hint = "is it that of the whole table?"
        raise DataError(f"{where}: byte {byte} is not {encoding}; {hint}")


def quote(text: str) -> str:
    """Return a value of a table for a message: in quotation marks, not too long."""
    return repr(text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}...")


def listed(texts: Iterable[str]) -> str:
    """Return values for a message, separated by commas: the first ones, if there are many."""
    texts = list(filter(None, texts))
    shown = [quote(text)[1:-1] for text in texts[:_MOST_LISTED]]
    more = f" and {len(texts) - len(shown):,} more" if len(texts) > len(shown) else ""
    return ", ".join(shown) + more


def _known_encoding(name: str) -> str:
    try:
        codec = codecs.lookup(name)
        "".encode(name)
    except LookupError:
        raise ConfigError(
            f"--encoding {name}: no such text encoding; try utf-8, cp1252 or latin-1"
        ) from None
    return UTF8 if codec.name in ("utf-8", "utf-8-sig") else codec.name


def _refuse_other_kinds(path: Path, encoding: str) -> None:
    """Refuse empty files and those that are not text, by their first bytes."""
    with open_bytes(path) as file:
        start = file.read(4096)
    if not start.removeprefix(codecs.BOM_UTF8).strip():
        raise DataError(f"{path}: an empty file")
    for signature, what in _SIGNATURES.items():
        if start.startswith(signature):
            raise DataError(f"{path}: not a text table but {what}")
    if not encoding.startswith(("utf-16", "utf-32")):
        if start.startswith(_UTF16):
            raise DataError(f"{path}: UTF-16 text; add --encoding utf-16, or save it as UTF-8")
        if b"\0" in start:
            raise DataError(f"{path}: not a text table (it holds zero bytes)")


def _header(path: Path, encoding: str, *, usual: str) -> tuple[str, tuple[str, ...]]:
    """Return delimiter and column names: the delimiter that makes most columns, or the usual."""
    try:
        with open_table(path, encoding=encoding) as file:
            start = file.readline(_MOST_HEADER).removeprefix("\ufeff")
            check_encoding(start, encoding, where=f"{path}: header")
            choices = sorted(DELIMITERS, key=lambda one: one != usual)  # the usual one wins a tie
            found = {one: next(csv.reader([start], delimiter=one), []) for one in choices}
            delimiter = max(choices, key=lambda one: len(found[one]))
            # A quoted name may go on in the next line.
            names = next(csv.reader(chain([start], file), delimiter=delimiter), [])
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"{path}: header cannot be read as {encoding} ({error})") from error
    columns = tuple(name.strip() for name in names)
    if not any(columns):
        raise DataError(f"{path}: the first line names no columns")
    for name in columns:
        if name and columns.count(name) > 1:
            raise DataError(f"{path}: column {name!r} occurs twice; rename one")
    return delimiter, columns


def _keys(path: Path, encoding: str) -> tuple[str, ...]:
    """Return the keys of the first objects of a JSON Lines file."""
    skipped = Skipped(allowed=True)
    lines = _decoded_lines(path, encoding, skipped)
    records = islice(good_records(lines, skipped), _RECORDS_FOR_KEYS)
    keys = tuple(dict.fromkeys(chain.from_iterable(record.values for record in records)))
    if not keys:
        raise DataError(next(iter(skipped.reasons), f"{path}: no line is an object with keys"))
    return keys


def _decoded_lines(path: Path, encoding: str, skipped: Skipped) -> Iterator[tuple[str, str]]:
    for where, line in read_lines(path, encoding=encoding):
        with skipped.catching():
            check_encoding(line, encoding, where=where)
            yield where, line
