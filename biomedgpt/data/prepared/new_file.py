"""Writing HDF5 files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from biomedgpt.files import atomic_path


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give a new file, which appears at ``path`` complete or not at all.

    Raises:
        ConfigError: it cannot be written; see `atomic_path`.
    """
    # Python writes for the library, which crashes the process where it cannot write to a full disk.
    with (
        atomic_path(path) as temporary,
        temporary.open("w+b") as opened,
        h5py.File(opened, "w") as file,
    ):
        yield file
