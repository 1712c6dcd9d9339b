"""Arrays of ``.npz`` archives, checked against the archive before memory is taken for them.

Nothing is unpickled, nothing is extracted to disk, and an array may not claim to be larger than
the archive says it is, nor the archive more than can be packed into it.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from biomedgpt.errors import DataError, reason_of

_MOST_DEFLATED = 1100  # deflate makes no more than 1,032 bytes of one
_MOST_HEADER = 10_000


@dataclass(frozen=True)
class NpzArray:
    """An array whose values are yet to be read.

    Attributes:
        stream: its values, row by row.
        shape: of the array.
        dtype: of a value.
    """

    stream: IO[bytes]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@contextmanager
def open_array(path: Path, name: str) -> Iterator[NpzArray]:
    """Open one array of an archive; it may be larger than the memory.

    Raises:
        DataError: no such array, or a damaged or dishonest archive; also for what the block raises
            while it reads.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.file_size > _MOST_DEFLATED * (member.compress_size + 1):
                raise ValueError("it claims more bytes than can be packed into it")
            with archive.open(member) as stream:
                shape, dtype = _read_header(stream)
                size = math.prod(shape) * dtype.itemsize
                if size > member.file_size:
                    raise ValueError(f"it claims {size:,} bytes, there are {member.file_size:,}")
                yield NpzArray(stream, shape, dtype)
    except KeyError as error:
        raise DataError(f"{path}: no array {name!r}") from error
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: array {name!r} cannot be read ({reason_of(error)})") from error


def read_array(path: Path, name: str, *, most_bytes: int) -> NDArray[Any]:
    """Return one array of an archive; DataError also when it has more than ``most_bytes``."""
    with open_array(path, name) as array:
        size = math.prod(array.shape) * array.dtype.itemsize
        if size > most_bytes:
            raise ValueError(f"{size:,} bytes, at most {most_bytes:,} are expected")
        data = array.stream.read(size)
        if len(data) < size:
            raise ValueError("it ends before its last value")
        return np.frombuffer(data, array.dtype).reshape(array.shape)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type; ValueError for objects, which would have to be unpickled."""
    version = np.lib.format.read_magic(stream)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read_header:
        raise ValueError(f"unknown version {version} of the array format")
    shape, columns_first, dtype = read_header[version](stream, max_header_size=_MOST_HEADER)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects; refused")
    if columns_first and len(shape) > 1:
        raise ValueError("stored column by column, must be row by row")
    if any(side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, dtype
