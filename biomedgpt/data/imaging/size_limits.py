"""What is refused before anything is allocated for it."""

from pathlib import Path

from biomedgpt.errors import DataError

MAX_PIXELS = 100_000_000
"""Largest accepted width x height; decoded as RGB this is 300 MB."""

MAX_FILE_BYTES = 1 << 30
"""Largest encoded picture that is read into memory; DICOM and NIfTI files are mapped instead."""


def check_size(width: int, height: int, *, where: str) -> None:
    """Raise a DataError for an image without pixels, or with more than `MAX_PIXELS`."""
    if width < 1 or height < 1:
        raise DataError(f"{where}: image of {width} x {height} has no pixels")
    if width * height > MAX_PIXELS:
        raise DataError(f"{where}: image of {width} x {height} has more than {MAX_PIXELS:,} pixels")


def choose_frame(frame: int | None, count: int, *, default: int = 0, where: str) -> int:
    """Return the frame (or slice) to show, counted from 0; DataError when there is no such one."""
    if frame is None:
        frame = default
    if not 0 <= frame < count:
        frames = f"{count} frame{'s' if count > 1 else ''} (0 to {count - 1})"
        raise DataError(f"{where}: no frame {frame}; the image has {frames}")
    return frame


def require_file(path: Path, *, where: str) -> None:
    """Raise a DataError for what can be opened but is no file: a pipe would be waited for."""
    try:
        special = path.exists() and not path.is_file()
    except OSError as error:
        raise unreadable(path, error, where=where) from error
    if special:
        raise DataError(f"{where}: {path} is not a file")


def unreadable(path: Path, error: OSError | ValueError, *, where: str) -> DataError:
    """Return the error for an image file that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    place = "" if where == str(path) else f"{where}: "
    return DataError(f"{place}cannot read image {path}: {reason or type(error).__name__}")
