"""Files: writing them so that they appear complete or not at all, hashes, reading ahead."""

import gzip
import hashlib
import json
import mmap
import os
import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from threading import Event
from typing import Any

from biomedgpt.errors import ConfigError, DataError, reason_of

WEIGHTS = "model.safetensors"
"""Name of the file of weights in the folder of a checkpoint, or of an image tokenizer."""
_PIECE = 2**28
"""Bytes read at a time: few pieces, since the thread waits for the interpreter at each."""
_LARGE = 1 << 31
"""Bytes from which hashing a file takes seconds."""
_begun: "dict[Path, Future[Content]]" = {}


def put_in_place(made: Path, path: Path) -> None:
    """Let a file or folder that is complete become ``path``, on the same disk, at once.

    Raises:
        OSError: it cannot; both are what they were.
    """
    if not made.is_dir():
        made.replace(path)
        return
    replaced = _beside(path, "old")  # a folder cannot take the place of another that holds files
    if os.path.lexists(path):
        path.rename(replaced)
    try:
        made.rename(path)
    except OSError:
        if os.path.lexists(replaced):
            replaced.rename(path)
        raise
    _remove(replaced)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Give a place beside ``path`` for a file or folder, which becomes ``path`` on success.

    After an exception it is gone, and what was at ``path`` is untouched.
    """
    temporary = _beside(path, "tmp")
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        _remove(temporary)


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path to write a file to; see `staged`.

    Raises:
        ConfigError: the folder of ``path`` does not exist, ``path`` is a folder, or it cannot be
            written (full disk, no permission).
    """
    path = Path(path)
    check_target(path)
    with _reported(path), staged(path) as temporary:
        yield temporary


@contextmanager
def atomic_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder to write into; see `staged`.

    Args:
        folder: to be made.
        overwrite: replace what is there.

    Raises:
        ConfigError: there is something at ``folder`` already, or it cannot be written.
    """
    if not overwrite and os.path.lexists(folder):
        raise ConfigError(f"{folder} exists; give --overwrite to replace it, or another name")
    if not folder.resolve().parent.is_dir():
        raise ConfigError(f"cannot write {folder}: there is no folder {folder.parent}; make it")
    with _reported(folder), staged(folder) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn a failure to write into a ConfigError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or reason_of(error)  # h5py's are of several lines
        raise ConfigError(f"cannot write {path}: {reason}; fix that, or write elsewhere") from error


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{ending}")


def _remove(path: Path) -> None:
    with suppress(OSError):  # a disk that cannot be written has nothing to remove
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Any, *, allow_nan: bool = True) -> None:
    """Write values as JSON for people to read; the file appears complete or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=allow_nan)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text holds, None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


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
    """Return the SHA-256 (hex) of a file; of a large one, a terminal shows how far it is."""
    from tqdm import tqdm  # of use for large files only, and slow to import

    size = path.stat().st_size
    with (
        path.open("rb", buffering=0) as file,
        tqdm(
            *(None, f"reading {path.name}", size),
            disable=True if size < _LARGE else None,
            unit="B",
            unit_scale=True,
        ) as bar,
    ):
        digest = hashlib.sha256()
        while piece := file.read(1 << 22):
            digest.update(piece)
            bar.update(len(piece))
    return digest.hexdigest()


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
