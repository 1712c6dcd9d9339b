"""DICOM files up to their pixels.

Of a header only what the pixels need is read, and nothing of it is kept, logged or put into a
message but sizes, bits and the transfer syntax. Messages are our own throughout: those of the
libraries behind them may quote values, and values may be names.
"""

import io
import logging
import mmap
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from biomedgpt.data.imaging.size_limits import require_file
from biomedgpt.errors import DataError, optional_import

MAX_INFLATED = 1 << 28
"""Bytes that a file compressed as a whole (deflated) may unfold to."""

_IMAGE_PIXELS = 0x0028
"""Group of the elements that say how pixels are stored and shown."""
_KEYWORDS = (
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)
_Data: TypeAlias = bytes | mmap.mmap
_PREAMBLE = 128
_UNDEFINED = 0xFFFFFFFF
_PIXELS = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}


def is_dicom(head: bytes) -> bool:
    """Tell DICOM by its first 132 bytes."""
    if head[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return True
    # A dataset without a preamble begins with an element of group 2 or 8; no picture does.
    return head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] in (b"\x00", b"\x01")


@dataclass(frozen=True)
class DicomFile:
    """A file read up to its pixels."""

    dataset: Any
    """The elements that were asked for, of pydicom's type."""
    data: _Data
    """The file, mapped, or its content."""
    place: int
    """The first byte of the pixel data; 0 where there are none."""
    length: int | None
    """Of the pixel data in bytes; None for a sequence of fragments."""
    syntax: Any
    """Transfer syntax, of pydicom's type."""
    keyword: str
    """Name of the element with the pixels."""
    vr: str
    """How it is declared; "" where it is not."""
    where: str
    """How to call the file in messages."""

    def bad(self, what: str) -> DataError:
        """Return the error for a damaged part."""
        return DataError(f"{self.where}: damaged DICOM file ({what})")

    def first(self, keyword: str, dataset: Any = None) -> Any:
        """Return a value, the first of several; None where there is none."""
        from pydicom.multival import MultiValue

        value = (self.dataset if dataset is None else dataset).get(keyword)
        if isinstance(value, MultiValue):
            value = next(iter(value), None)
        return None if value in ("", b"") else value

    def number(self, keyword: str, dataset: Any = None) -> float | None:
        """Return a number, the first of several; None where there is none."""
        value = self.first(keyword, dataset)
        try:
            return None if value is None else float(value)
        except (TypeError, ValueError):
            raise self.bad(keyword) from None

    def whole(self, keyword: str, default: int | None = None) -> int:
        """Return a whole number; without a default it must be there."""
        number = self.number(keyword)
        if number is None and default is not None:
            return default
        if number is None or not number.is_integer():
            raise self.bad(keyword)
        return int(number)

    def items(self, keyword: str, dataset: Any = None) -> list[Any]:
        """Return the items of a sequence."""
        return list((self.dataset if dataset is None else dataset).get(keyword) or ())

    def stream(self) -> Any:
        """Return the data as a binary file at the first byte of the pixels."""
        return _stream(self.data, self.place)


@contextmanager
def quiet(where: str) -> Iterator[None]:
    """Keep what pydicom warns of and complains about to ourselves; see the module's docstring.

    Raises:
        ConfigError: pydicom is not installed.
        DataError: whatever pydicom raised.
    """
    with optional_import("DICOM files need pydicom; run: pip install pydicom"):
        import pydicom  # noqa: F401
    log = logging.getLogger("pydicom")
    level = log.level
    try:
        log.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    except Exception as error:  # pydicom raises almost anything on damaged input.
        raise DataError(f"{where}: damaged DICOM file ({type(error).__name__})") from None
    finally:
        log.setLevel(level)


def read_header(data: bytes | Path, *, where: str, extra: Iterable[str] = ()) -> DicomFile:
    """Return what the pixels need of a file's header, and the ``extra`` elements.

    Raises:
        ConfigError: pydicom is not installed.
        DataError: not readable as DICOM.
    """
    with quiet(where):
        return _read_header(data, where=where, extra=extra)


def _read_header(data: bytes | Path, *, where: str, extra: Iterable[str]) -> DicomFile:
    from pydicom.filereader import data_element_offset_to_value, read_dataset
    from pydicom.tag import Tag
    from pydicom.uid import (
        UID,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    )

    content = _map_file(data, where=where) if isinstance(data, Path) else data
    if not is_dicom(content[: _PREAMBLE + 4]):
        raise DataError(f"{where}: not a DICOM file")
    begins = _PREAMBLE + 4 if content[_PREAMBLE : _PREAMBLE + 4] == b"DICM" else 0
    stream = _stream(content, begins)
    # In two steps, as pydicom would unfold a deflated dataset, however large.
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    place = stream.tell()
    syntax = UID(str(meta.get("TransferSyntaxUID") or ""))
    if not syntax:
        explicit = content[place + 4 : place + 6].isalpha()
        syntax = ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
    elif syntax == DeflatedExplicitVRLittleEndian:
        content = _inflate(content, place, where=where)
        stream, syntax = _stream(content), ExplicitVRLittleEndian
    if not syntax.is_transfer_syntax:
        raise DataError(f"{where}: damaged DICOM file (no known transfer syntax)")
    pixels: tuple[int, str | None, int] = (0, None, 0)

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        nonlocal pixels
        if tag in _PIXELS:
            pixels = (tag, vr, length)
        return tag in _PIXELS

    dataset = read_dataset(
        stream,
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        stop_when=at_pixels,
        specific_tags=[*_image_pixel_tags(), *(Tag(name) for name in (*_KEYWORDS, *extra))],
    )
    tag, vr, length = pixels
    return DicomFile(
        dataset=dataset,
        data=content,
        place=stream.tell() + data_element_offset_to_value(vr is None, vr) if tag else 0,
        length=None if length == _UNDEFINED else length,
        syntax=syntax,
        keyword=_PIXELS.get(tag, ""),
        vr=vr or "",
        where=where,
    )


@cache
def _image_pixel_tags() -> list[Any]:
    from pydicom.datadict import keyword_dict

    return [tag for tag in keyword_dict.values() if tag >> 16 == _IMAGE_PIXELS]


def _stream(data: _Data, place: int = 0) -> Any:
    """Return data as a binary file at a place."""
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    stream.seek(place)
    return stream


def _map_file(path: Path, *, where: str) -> _Data:
    """Map a file, so that of a long film only the frame in question is read."""
    require_file(path, where=where)
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file
        reason = error.strerror if isinstance(error, OSError) else "an empty file"
        raise DataError(f"{where}: cannot be read ({reason})") from error


def _inflate(data: _Data, start: int, *, where: str) -> bytes:
    unfolding = zlib.decompressobj(-zlib.MAX_WBITS)
    content = unfolding.decompress(data[start:], MAX_INFLATED)
    if unfolding.unconsumed_tail:
        raise DataError(f"{where}: deflated DICOM file unfolds to more than {MAX_INFLATED:,} bytes")
    if not unfolding.eof:
        raise DataError(f"{where}: truncated DICOM file")
    return content
