"""Folders that appear complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from biomedgpt.errors import ConfigError


@contextmanager
def atomic_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder beside ``folder`` to write into; it becomes ``folder`` on success.

    After an exception it is gone, and what was at ``folder`` is untouched.

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
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    replaced = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        temporary.mkdir()
        yield temporary
        if os.path.lexists(folder):
            folder.rename(replaced)
        temporary.rename(folder)
    except OSError as error:
        if os.path.lexists(replaced):
            replaced.rename(folder)
        reason = error.strerror or " ".join(str(error).split())
        raise ConfigError(
            f"cannot write {folder}: {reason}; fix that, or write elsewhere"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if replaced.is_dir() and not replaced.is_symlink():
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            replaced.unlink(missing_ok=True)
