"""What is known of a file since it last changed, noted beside it, so that it is read in whole once.

A stamp holds for the size, the time and the inode that the file had when it was read. A copy, a
file that was written anew, or one that a repair put back is looked at again.
"""

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
    stamp, state = _stamp(path), _state(path)
    noted = _read(stamp)
    if noted.get("state") != state:
        noted = {"state": state}
    if isinstance(known := noted.get(name), str):
        return known
    found = find(path)
    old = time.time() - path.stat().st_mtime > _YOUNG
    if old and _state(path) == state:
        with suppress(ConfigError):  # a folder that cannot be written: it is read again
            write_json(stamp, noted | {name: found})
    return found


def stamped_hash(path: Path) -> str:
    """Return the SHA-256 (hex) of a file.

    Raises:
        OSError: it cannot be read.
    """
    return stamped(path, "sha256", file_hash)


def forget(path: Path) -> None:
    """Remove what is noted of a file, which turned out to be wrong without a change to be seen."""
    with suppress(OSError):
        _stamp(path).unlink()


def _stamp(path: Path) -> Path:
    return path.with_name(f".{path.name}.stamp")


def _state(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _read(stamp: Path) -> dict[str, object]:
    try:
        found = parse_json(stamp.read_bytes())
    except OSError:
        return {}
    return found if isinstance(found, dict) else {}
