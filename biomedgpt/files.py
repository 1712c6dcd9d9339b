"""Writing files so that they appear complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from biomedgpt.errors import ConfigError


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
