"""Images of one's own tables: file names below a folder, or the encoded image in the table.

All kinds are taken that `biomedgpt.data.imaging.images` opens; the writer keeps DICOM and NIfTI as
PNG.
"""

import base64
import binascii
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from biomedgpt.data.imaging.images import stored_image
from biomedgpt.data.raw.table_files import quote
from biomedgpt.data.raw.tables import Record, parquet_image
from biomedgpt.errors import DataError

_URL_SAFE = str.maketrans("-_", "+/")


def image_file(record: Record, column: str, folder: Path) -> tuple[Path, str]:
    """Return an image's file and its name within ``folder``.

    Raises:
        DataError: the name leads out of the folder, or there is no such file.
    """
    text = record.text(column)
    where = f"{record.where}: {column} {quote(text)}"
    name = name_within(text)
    if name is None:
        raise DataError(f"{where}: must be a path within {folder}, without '..'")
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
        is_file = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, a circle of links
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{where}: not a usable file name ({reason})") from error
    if not inside:
        raise DataError(f"{where}: a link that leads out of {folder}")
    if not is_file:
        what = "is a folder, not an image" if path.is_dir() else f"no such file in {folder}"
        raise DataError(f"{where}: {what}")
    return path, str(name)


def name_within(text: str) -> PurePosixPath | None:
    """Return a file's name with either kind of slashes, None where it leads out of its folder."""
    name = PurePosixPath(text.replace("\\", "/"))
    leads_out = name.is_absolute() or PureWindowsPath(text).drive or ".." in name.parts
    return None if leads_out else name


def image_bytes(record: Record, column: str) -> bytes:
    """Return the encoded image that a table holds: base64, or the bytes of a Parquet column.

    Raises:
        DataError: it holds no image.
    """
    value: Any = record.values.get(column)
    if isinstance(value, bytes | dict):
        return parquet_image(value, where=record.where)
    text = record.text(column)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()).translate(_URL_SAFE), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(
            f"{record.where}: {column} is not an image in base64 ({error}); if it names files, add "
            "--images DIR"
        ) from error


def chosen_frame(record: Record, column: str, image: bytes | Path) -> bytes | Path:
    """Return the frame, or slice of a volume, that a record names, counted from 0.

    Without a number the image is left as it is.

    Raises:
        DataError: not a whole number, there is no such frame, or the image is damaged.
    """
    number = frame_number(record, column)
    return image if number is None else stored_image(image, where=record.where, frame=number)


def frame_number(record: Record, column: str) -> int | None:
    """Return the number of a frame, None without one; DataError for what is no number from 0."""
    text = record.optional(column)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise DataError(f"{record.where}: {column} {quote(text)} is not a number from 0")
    return int(text)
