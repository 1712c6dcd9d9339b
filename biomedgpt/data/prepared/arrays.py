"""Arrays of an HDF5 file, mapped into memory without trusting the file.

Only plain, contiguous arrays inside the file are accepted: links, external storage and virtual
data are refused. Such an array is a stretch of the file, which any number of processes can map.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from biomedgpt.errors import DataError

_PREPARE_AGAIN = "prepare the dataset again"


@dataclass(frozen=True)
class StoredArray:
    """Where one array lies in its file."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


def locate(
    file: h5py.File, path: Path, name: str, *, dtype: str, ndim: int, fix: str = _PREPARE_AGAIN
) -> StoredArray:
    """Find one array, following nothing but hard links inside the file.

    Args:
        file: the open file.
        path: how to call it in an error.
        name: of the array, parts separated by slashes.
        dtype: as numpy writes it, byte order included.
        ndim: number of dimensions.
        fix: what the user should do when it is not there.

    Raises:
        DataError: no such array, or not a plain one.
    """
    node: Any = file
    walked = ""
    for part in name.split("/"):
        walked = f"{walked}/{part}"
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise DataError(f"{path}: no {walked[1:]}; {fix}")
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{path}: {walked[1:]} is a link to elsewhere; refused")
        node = node[part]
    if not isinstance(node, h5py.Dataset) or node.dtype.str != dtype or node.ndim != ndim:
        raise DataError(f"{path}: {name} is not an array of the expected kind")
    if node.external or node.is_virtual:
        raise DataError(f"{path}: {name} keeps its data in other files; refused")
    if node.chunks is not None:
        raise DataError(f"{path}: {name} is stored in chunks; {fix}")
    offset = node.id.get_offset()  # None when nothing was ever written
    if offset is None and node.size:
        raise DataError(f"{path}: {name} has no data; {fix}")
    return StoredArray(offset or 0, node.shape, dtype)


def view(
    file: NDArray[np.uint8], path: Path, array: StoredArray, *, fix: str = _PREPARE_AGAIN
) -> NDArray[Any]:
    """Return the array at its place in the mapped file; DataError when the file ends before."""
    dtype = np.dtype(array.dtype)
    size = int(np.prod(array.shape)) * dtype.itemsize
    if array.offset < 0 or array.offset + size > len(file):
        raise DataError(f"{path}: truncated; {fix}")
    return file[array.offset : array.offset + size].view(dtype).reshape(array.shape)


def blocks(array: NDArray[Any], *, overlap: int) -> Iterator[NDArray[Any]]:
    """Yield pieces of at most 1e6 entries; neighbours share ``overlap`` entries."""
    for start in range(0, len(array), 1_000_000):
        yield array[start : start + 1_000_000 + overlap]
