"""Texts set aside on disk while a reader finds out which split they belong to."""

import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from biomedgpt.data.rows import Row


@dataclass(frozen=True, slots=True)
class SpooledText:
    """Where a text lies in its spool, in bytes."""

    start: int
    size: int


class TextSpool:
    """Texts in a nameless temporary file, compressed; only their places are in memory.

    For releases whose texts would not fit: they are read once, in the order of the release, and
    handed out later, in any order. The file goes when the spool does.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._size = 0

    def add(self, text: str) -> SpooledText:
        """Set a text aside."""
        data = zlib.compress(text.encode(), level=1)
        place = SpooledText(self._size, len(data))
        self._file.seek(self._size)
        self._file.write(data)
        self._size += len(data)
        return place

    def get(self, place: SpooledText) -> str:
        """Return a text set aside before."""
        self._file.seek(place.start)
        return zlib.decompress(self._file.read(place.size)).decode()


@dataclass(frozen=True, slots=True)
class SpooledRow:
    """A row without an image, its texts set aside; what decides its split is in memory."""

    patient: str
    texts: SpooledText
    where: str


class RowSpool:
    """Rows set aside until all patients are known, since splits are by patient."""

    def __init__(self) -> None:
        self._texts = TextSpool()

    def add(self, row: Row) -> SpooledRow:
        """Set a row aside, which has a field ``patient``."""
        texts = self._texts.add(json.dumps(row.fields))
        return SpooledRow(row.fields["patient"], texts, row.where)

    def rows(self, spooled: Iterable[SpooledRow]) -> Iterator[Row]:
        """Yield rows set aside before."""
        for one in spooled:
            yield Row(json.loads(self._texts.get(one.texts)), where=one.where)
