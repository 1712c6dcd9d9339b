"""Files: writing them so that they appear complete or not at all, hashes, reading ahead."""

import gzip
import hashlib
import mmap
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from threading import Event

from biomedgpt.errors import ConfigError, DataError

WEIGHTS = "model.safetensors"
"""Name of the file of weights in the folder of a checkpoint, or of an image tokenizer."""
_PIECE = 2**28
"""Bytes read at a time: few pieces, since the thread waits for the interpreter at each."""
_begun: "dict[Path, Future[Content]]" = {}


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; it becomes ``path`` on success.

    After an exception the temporary file is gone and what was at ``path`` is untouched.

    Raises:
        ConfigError: the folder of ``path`` does not exist, ``path`` is a folder, or it cannot be
            written (full disk, no permission).
    """
    path = Path(path)
    check_target(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())  # h5py's are of several lines
        raise ConfigError(f"cannot write {path}: {reason}; fix that, or write elsewhere") from error
    finally:
        with suppress(OSError):  # a disk that cannot be written has nothing to remove
            temporary.unlink(missing_ok=True)


def check_target(path: Path) -> None:
    """Raise a ConfigError where no file can be: without a folder around it, or in one's place."""
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder; give the name of a file")


@contextmanager
def open_bytes(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file to read bytes, decompressed when its name ends in ``.gz``.

    Raises:
        DataError: it cannot be opened, or, within the block, be read.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason})") from error


def file_hash(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Content:
    """What a file held, and the hash of just that."""

    data: mmap.mmap
    """In memory of our own, whatever happens to the file."""
    sha256: str


@contextmanager
def reading_ahead(path: Path) -> Iterator[None]:
    """Read and hash a file in a thread while other things are done, until `read_ahead` takes it.

    Without a file there, nothing happens.
    """
    if not path.is_file():
        yield
        return
    stopped = Event()
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        _begun[path] = pool.submit(_read, path, stopped)
        try:
            yield
        finally:
            stopped.set()
            _begun.pop(path, None)


def read_ahead(path: Path) -> Content | None:
    """Return what `reading_ahead` has read, waiting for its end; None if it was not begun.

    Raises:
        OSError: the file could not be read, or does not fit into memory.
    """
    begun = _begun.pop(path, None)
    return None if begun is None else begun.result()


def _read(path: Path, stopped: Event) -> Content:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        data = mmap.mmap(-1, max(os.fstat(file.fileno()).st_size, 1))
        with suppress(AttributeError, OSError):  # where there are none
            # Giving out small pages takes as long as reading.
            data.madvise(mmap.MADV_HUGEPAGE)
        for start in range(0, len(data), _PIECE):
            with memoryview(data)[start : start + _PIECE] as piece:
                count = 0
                while count < len(piece) and (read := file.readinto(piece[count:])):
                    count += read
                digest.update(piece[:count])
            if stopped.is_set() or count < _PIECE:
                break
    return Content(data, digest.hexdigest())
