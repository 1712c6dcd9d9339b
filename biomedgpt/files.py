"""Writing files so that they appear complete or not at all; hashes of files."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

from biomedgpt.errors import ConfigError

WEIGHTS = "model.safetensors"
"""Name of the file of weights in the folder of a checkpoint."""
_PIECE = 16 * 2**20
"""Bytes hashed at a time: a thread waits for the interpreter between pieces."""
_begun: dict[Path, Future[str]] = {}


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; it becomes ``path`` on success.

    After an exception the temporary file is gone and what was at ``path`` is untouched.

    Raises:
        ConfigError: the folder of ``path`` does not exist, ``path`` is a folder, or it cannot be
            written (full disk, no permission).
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder; give the name of a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())  # h5py's are of several lines
        raise ConfigError(
            f"cannot write {path}: {reason}; mend that, or write elsewhere"
        ) from error
    finally:
        with suppress(OSError):  # a disk that cannot be written has nothing to remove
            temporary.unlink(missing_ok=True)


def file_hash(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, which a thread may have begun; see `hashed_ahead`."""
    begun = _begun.pop(path, None)
    return _sha256(path, Event()) if begun is None else begun.result()


@contextmanager
def hashed_ahead(path: Path) -> Iterator[None]:
    """Hash a file in a thread while other things are done, until `file_hash` asks for it.

    It is read on the way, so that who reads it next finds it in memory. Without a file there
    nothing happens.
    """
    if not path.is_file():
        yield
        return
    stopped = Event()
    with ThreadPoolExecutor(1, thread_name_prefix="hash") as pool:
        _begun[path] = pool.submit(_sha256, path, stopped)
        try:
            yield
        finally:
            stopped.set()
            _begun.pop(path, None)


def _sha256(path: Path, stopped: Event) -> str:
    digest = hashlib.sha256()
    piece = memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as file:
        while not stopped.is_set() and (count := file.readinto(piece)):
            digest.update(piece[:count])
    return digest.hexdigest()
