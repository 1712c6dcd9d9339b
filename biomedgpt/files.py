"""Files: writing them so that they appear complete or not at all, hashes, reading ahead.

What is written has a name of its process beside the one it is to have. If the process is killed,
the next one that writes into the folder removes it.
"""

import ctypes
import gzip
import hashlib
import json
import mmap
import os
import re
import shutil
import socket
import tempfile
import time
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
from biomedgpt.locks import locked

WEIGHTS = "model.safetensors"
"""Name of the file of weights in the folder of a checkpoint, or of an image tokenizer."""
_PIECE = 2**28
"""Bytes read at a time: few pieces, since the thread waits for the interpreter at each."""
_LARGE = 1 << 31
"""Bytes from which hashing a file takes seconds."""
_begun: "dict[Path, Future[Content]]" = {}
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?:(?P<machine>[^.]+)-)?(?P<process>\d+)\.(?:tmp|old)")
_SCRATCH = ".biomedgpt-"
_FORGOTTEN = 24 * 3600.0
"""Seconds after which what another machine has not finished counts as left behind."""
_AT_WORKING_FOLDER, _EXCHANGE = -100, 2
_tidied: set[Path] = set()


def put_in_place(made: Path, path: Path) -> None:
    """Let a file or folder that is complete become ``path``, on the same disk, at once.

    Raises:
        OSError: it cannot; both are what they were.
    """
    if not made.is_dir():
        made.replace(path)
        return
    if path.is_dir() and not path.is_symlink() and _exchange(made, path):
        remove(made)
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
    remove(replaced)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths swap what they name, so that neither is without; False where that cannot be."""
    try:
        swap = ctypes.CDLL(None).renameat2
    except AttributeError:  # not Linux
        return False
    here = _AT_WORKING_FOLDER
    return swap(here, os.fsencode(one), here, os.fsencode(other), _EXCHANGE) == 0


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Give a place beside ``path`` for a file or folder, which becomes ``path`` on success.

    After an exception it is gone, and what was at ``path`` is untouched.
    """
    if path.parent not in _tidied:
        _tidied.add(path.parent)
        _remove_leftovers(path.parent)
    temporary = _beside(path, "tmp")
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        remove(temporary)


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
def sole(path: Path, *, remedy: str = "wait for its end, or give another folder") -> Iterator[None]:
    """Let one process at a time write ``path``, or what is kept beside it to go on with.

    What a killed one has left under a name of its own is removed.

    Raises:
        ConfigError: another process is at it; the message names it and ends in ``remedy``.
    """
    with locked(_lock(path), what=str(path), remedy=remedy):
        _remove_leftovers(path.parent, of=path.name)
        yield


def tidy(path: Path) -> None:
    """Remove what a process has left that was killed when ``path`` was written already."""
    if _lock(path).exists():
        with suppress(ConfigError), sole(path):  # refused where somebody is at it just now
            pass


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


@contextmanager
def sole_writer(folder: Path) -> Iterator[Path]:
    """Give a place beside ``folder`` as `staged` does, to one process at a time; see `sole`."""
    with sole(folder), staged(folder) as temporary:
        yield temporary


@contextmanager
def scratch_folder(place: Path | None = None) -> Iterator[Path]:
    """Give an empty folder that only this user can read, and that is gone afterwards.

    Args:
        place: folder to make it in; that of the system for temporary files by default.
    """
    place = place or Path(tempfile.gettempdir())
    _remove_leftovers(place, pattern=f"{_SCRATCH}*")
    ending = f".{_machine()}-{os.getpid()}.tmp"
    with tempfile.TemporaryDirectory(
        prefix=_SCRATCH, suffix=ending, dir=place, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@contextmanager
def atomic_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder to write into; see `staged`.

    Args:
        folder: to be made.
        overwrite: replace what is there.

    Raises:
        ConfigError: there is something at ``folder`` already, another process writes it, or it
            cannot be written.
    """
    if not overwrite and os.path.lexists(folder):
        tidy(folder)
        raise ConfigError(f"{folder} exists; give --overwrite to replace it, or another name")
    if not folder.resolve().parent.is_dir():
        raise ConfigError(f"cannot write {folder}: there is no folder {folder.parent}; make it")
    with _reported(folder), sole_writer(folder) as temporary:
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
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.{ending}")


def _machine() -> str:
    return socket.gethostname().replace(".", "_")


def _remove_leftovers(folder: Path, *, of: str | None = None, pattern: str = "*") -> None:
    """Remove from a folder what killed processes have not finished.

    Args:
        folder: to look into.
        of: name of what this process alone writes, so that all else of that name is left behind.
        pattern: of the names to look at.
    """
    with suppress(OSError):
        for path in folder.glob(pattern):
            found = _LEFTOVER.fullmatch(path.name)
            if found is None or not (found["name"] == of or _is_left(path, found)):
                continue
            target = folder / found["name"]
            if path.suffix == ".old" and not os.path.lexists(target):
                path.rename(target)  # killed before the new one had its place
            else:
                remove(path)


def _is_left(path: Path, found: re.Match[str]) -> bool:
    if found["machine"] not in (None, _machine()):
        return time.time() - path.stat().st_mtime > _FORGOTTEN
    try:
        os.kill(int(found["process"]), 0)
    except ProcessLookupError:
        return True
    except OSError:  # of somebody else
        return False
    return False


def remove(path: Path) -> None:
    """Remove a file or folder, if that can be."""
    with suppress(OSError):  # a disk that cannot be written has nothing to remove
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Any, *, allow_nan: bool = True) -> None:
    """Write values as JSON for people to read; the file appears complete or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=allow_nan) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text (UTF-8); the file appears complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_hash(content: Any) -> str:
    """Return the SHA-256 (hex) of values of JSON, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
