"""What is known of a file since it last changed, noted beside it, so that it is read in whole once.

In a folder that cannot be written, as of data that many share, it is noted in ``biomedgpt`` below
``$XDG_CACHE_HOME`` (``~/.cache``).

A stamp holds for the size, the time and the inode that the file had when it was read. A copy, a
file that was written anew, or one that a repair put back is looked at again.
"""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from biomedgpt.errors import ConfigError
from biomedgpt.files import file_hash, parse_json, write_json

_YOUNG = 2.0
"""Seconds within which a file may change twice and keep its time, on coarse file systems."""


def stamped(path: Path, name: str, find: Callable[[Path], str]) -> str:
    """Return what ``find`` returns for a file, from its stamp where that holds.

    Args:
        path: the file.
        name: of what is found, as in ``sha256``; a file has one stamp for all of them.
        find: reads the file. What it raises is not noted.

    Raises:
        OSError: there is no such file.
    """
    state = _state(path)
    found_in = (noted for noted in map(_read, _stamps(path)) if noted.get("state") == state)
    noted = next(found_in, {"state": state})
    if isinstance(known := noted.get(name), str):
        return known
    found = find(path)
    old = time.time() - path.stat().st_mtime > _YOUNG
    if old and _state(path) == state:
        _write(path, noted | {name: found})
    return found


def stamped_hash(path: Path) -> str:
    """Return the SHA-256 (hex) of a file.

    Raises:
        OSError: it cannot be read.
    """
    return stamped(path, "sha256", file_hash)


def forget(path: Path) -> None:
    """Remove what is noted of a file, which turned out to be wrong without a change to be seen."""
    for stamp in _stamps(path):
        with suppress(OSError):
            stamp.unlink()


def _stamps(path: Path) -> tuple[Path, Path]:
    """Return where something may be noted of a file: beside it, or else in the user's cache."""
    key = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111
    return path.with_name(f".{path.name}.stamp"), cache / "biomedgpt" / f"{key}.stamp"


def _write(path: Path, noted: dict[str, object]) -> None:
    beside, cached = _stamps(path)
    try:
        write_json(beside, noted)
    except ConfigError:
        with suppress(ConfigError, OSError):  # nor that one: the file is read again
            cached.parent.mkdir(parents=True, exist_ok=True)
            write_json(cached, noted)


def _state(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _read(stamp: Path) -> dict[str, object]:
    try:
        found = parse_json(stamp.read_bytes())
    except OSError:
        return {}
    return found if isinstance(found, dict) else {}
