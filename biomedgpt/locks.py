"""Locks: one writer of a folder or file at a time, and who it is.

The kernel holds a lock for a process and lets go of it however the process ends. It knows of the
processes of this machine and, as a rule, of all that share the file system; for those that it does
not know of, whoever holds a lock touches its file now and then.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from threading import Event, Thread

from biomedgpt.errors import ConfigError

SIGN_OF_LIFE = 20.0
"""Seconds between two touches."""
DEAD_AFTER = 120.0
"""Seconds without one after which a process of another machine counts as dead."""
JOB = "BIOMEDGPT_JOB"
"""Variable with the name of a job, whose machines share a lock."""
_HELD = "BIOMEDGPT_LOCKS"
"""Variable with the locks of this process, for those that it starts."""


@contextmanager
def locked(path: Path, *, what: str, remedy: str) -> Iterator[None]:
    """Hold the lock at ``path``; its file is gone afterwards.

    Args:
        path: of the lock's file, in a folder that exists.
        what: is locked, for messages, as in ``runs/vqa``.
        remedy: what to do if it is taken, as in ``use another folder``.

    Raises:
        ConfigError: another process holds it (the message names it, its machine and since when), or
            the file cannot be written.
    """
    path = path.absolute()
    if is_held(path):  # of one process, the kernel grants all, and to close any file loses it
        raise ConfigError(f"{what} is in use by this process; {remedy}")
    try:
        file = _acquire(path, what, remedy)
    except OSError as error:
        raise ConfigError(
            f"{what}: cannot be written ({error.strerror}); fix that, or write elsewhere"
        ) from error
    stopped = Event()
    if file is not None:
        Thread(target=_show_life, args=(path, stopped), daemon=True).start()
    _note([*_held(), str(path)])
    try:
        yield
    finally:
        stopped.set()
        _note([one for one in _held() if one != str(path)])
        if file is not None:
            path.unlink(missing_ok=True)
            file.close()


def is_held(path: Path) -> bool:
    """Say whether this process, its job, or the process that started it holds a lock."""
    return str(path.absolute()) in _held()


def _held() -> list[str]:
    return json.loads(os.environ.get(_HELD, "[]"))


def _note(paths: list[str]) -> None:
    os.environ[_HELD] = json.dumps(paths)


def _acquire(path: Path, what: str, remedy: str) -> TextIOWrapper | None:
    """Return the locked file; None where another machine of this job holds it for all of them."""
    while True:
        # Not truncated: it may be another's.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        file = os.fdopen(descriptor, "r+", encoding="utf-8")
        taken, holder = _take(file), _read(file)
        if not taken or _lives_elsewhere(holder, path):
            if holder.get("job") and holder["job"] == os.environ.get(JOB):
                return None
            raise ConfigError(f"{what} is in use by {_describe(holder, path)}; {remedy}")
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            break
        file.close()  # its last holder has removed it in between
    holder = {
        "process": os.getpid(),
        "machine": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "job": os.environ.get(JOB, ""),
    }
    try:
        file.truncate(0)
        file.seek(0)
        json.dump(holder, file)
        file.flush()
    except OSError:  # a full disk
        path.unlink(missing_ok=True)
        with suppress(OSError):
            file.close()
        raise
    return file


def _take(file: TextIOWrapper) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # a file system without locks; signs of life have to do
    return True


def _read(file: TextIOWrapper) -> Mapping[str, object]:
    """Return what a lock says of its holder; nothing where it was just made, or is damaged."""
    try:
        content = json.load(file)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _lives_elsewhere(holder: Mapping[str, object], path: Path) -> bool:
    """Say whether a process of another machine, of which the kernel may not know, is at work."""
    elsewhere = holder.get("machine") not in (None, socket.gethostname())
    return elsewhere and time.time() - path.stat().st_mtime < DEAD_AFTER


def _describe(holder: Mapping[str, object], path: Path) -> str:
    if not holder:
        return "another process"
    found = f"process {holder.get('process')} on {holder.get('machine')}"
    found += f" since {holder.get('since')}"
    if holder.get("machine") != socket.gethostname():
        found += f" (if that one is dead: wait {DEAD_AFTER / 60:.0f} minutes, or remove {path})"
    return found


def _show_life(path: Path, stopped: Event) -> None:
    while not stopped.wait(SIGN_OF_LIFE):
        try:
            os.utime(path)
        except OSError:
            return  # somebody removed it
