"""Arrays of an HDF5 file, mapped into memory without trusting the file.

Only plain, contiguous arrays inside the file are accepted: links, external storage and virtual
data are refused. Such an array is a stretch of the file, which any number of processes can map.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from biomedgpt.errors import DataError, machine_fault, reason_of


@dataclass(frozen=True)
class StoredArray:
    """Where one array lies in its file."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


class ArrayFile:
    """Arrays of an HDF5 file, which each process maps at its first access.

    Instances can be pickled and used in forked or spawned workers.

    Args:
        path: the file.
        fix: what the user should do when something is wrong with it.
    """

    def __init__(self, path: Path, *, fix: str) -> None:
        self.path = path
        self.fix = fix
        self.version = 0  # known once it is open
        self._state: tuple[int, ...] = ()
        self._arrays: dict[str, StoredArray] = {}
        self._mapped: dict[str, NDArray[Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mapped": None}

    @contextmanager
    def _open(self, *, format: str, newest: int, what: str) -> Iterator[h5py.File]:
        """Open the file to see its layout.

        Args:
            format: name of the format.
            newest: version of it that this program writes; it reads all before, too.
            what: such a file is, for messages.

        Raises:
            DataError: not a file of this format and version, or damaged, as the block may find.
            OSError: it cannot be opened, which to h5py looks like damage.
        """
        try:
            with self.path.open("rb") as opened:
                self._state = _state(os.fstat(opened.fileno()))
                whole = h5py.is_hdf5(self.path)
        except OSError as error:
            if machine_fault(error) is not None:
                raise
            raise DataError(f"{self.path}: cannot be read ({error.strerror})") from error
        if not whole:
            raise DataError(f"{self.path}: not an HDF5 file; {self.fix}")
        try:
            with h5py.File(self.path, "r") as file:
                if (found := file.attrs.get("format")) != format:
                    raise DataError(f"{self.path}: not {what} (format {found!r}); {self.fix}")
                version = file.attrs.get("version")
                check_version(version, newest, where=self.path, fix=self.fix)
                self.version = int(version)
                yield file
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            if machine_fault(error) is not None:
                raise
            reason = reason_of(error)
            raise DataError(f"{self.path}: damaged HDF5 file ({reason}); {self.fix}") from error

    def _locate(self, file: h5py.File, name: str, *, dtype: str, ndim: int) -> None:
        """Find one array, following nothing but hard links inside the file.

        Args:
            file: the open file.
            name: of the array, parts separated by slashes.
            dtype: as numpy writes it, byte order included.
            ndim: number of dimensions.

        Raises:
            DataError: no such array, or not a plain one.
        """
        node: Any = file
        walked = ""
        for part in name.split("/"):
            walked = f"{walked}/{part}"
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                raise DataError(f"{self.path}: no {walked[1:]}; {self.fix}")
            if not isinstance(link, h5py.HardLink):
                raise DataError(f"{self.path}: {walked[1:]} is a link to elsewhere; refused")
            node = node[part]
        if not isinstance(node, h5py.Dataset) or node.dtype.str != dtype or node.ndim != ndim:
            raise DataError(f"{self.path}: {name} is not an array of the expected kind")
        if node.external or node.is_virtual:
            raise DataError(f"{self.path}: {name} keeps its data in other files; refused")
        if node.chunks is not None:
            raise DataError(f"{self.path}: {name} is stored in chunks; {self.fix}")
        offset = node.id.get_offset()  # None when nothing was ever written
        if offset is None and node.size:
            raise DataError(f"{self.path}: {name} has no data; {self.fix}")
        self._arrays[name] = StoredArray(offset or 0, node.shape, dtype)

    def _map(self, name: str) -> NDArray[Any]:
        """Return an array; DataError when the file ends before, or is another one by now."""
        if self._mapped is None:
            with self.path.open("rb") as opened:
                if _state(os.fstat(opened.fileno())) != self._state:
                    raise DataError(f"{self.path}: changed since it was opened; start again")
                file = np.asarray(np.memmap(opened, dtype=np.uint8, mode="r"))
            self._mapped = {key: self._view(file, array) for key, array in self._arrays.items()}
        return self._mapped[name]

    def _view(self, file: NDArray[np.uint8], array: StoredArray) -> NDArray[Any]:
        dtype = np.dtype(array.dtype)
        size = int(np.prod(array.shape)) * dtype.itemsize
        if array.offset < 0 or array.offset + size > len(file):
            raise DataError(f"{self.path}: truncated; {self.fix}")
        return file[array.offset : array.offset + size].view(dtype).reshape(array.shape)


def check_version(found: Any, newest: int, *, where: Path, fix: str) -> None:
    """Raise a DataError for a version of a format other than 1 to ``newest``."""
    if not isinstance(found, int | np.integer) or not 1 <= found <= newest:
        newer = isinstance(found, int | np.integer) and found > newest
        raise DataError(
            f"{where}: format version {found}, this program reads "
            f"{'1' if newest == 1 else f'1 to {newest}'}; {'update biomedgpt' if newer else fix}"
        )


def _state(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def blocks(array: NDArray[Any], *, overlap: int) -> Iterator[NDArray[Any]]:
    """Yield pieces of at most 1e6 entries; neighbours share ``overlap`` entries."""
    for start in range(0, len(array), 1_000_000):
        yield array[start : start + 1_000_000 + overlap]
