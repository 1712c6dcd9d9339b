"""Slices of NIfTI volumes (``.nii``, ``.nii.gz``), read without taking in the volume."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedgpt.data.imaging.levels import own_range, stretch
from biomedgpt.data.imaging.size_limits import check_size, choose_frame
from biomedgpt.errors import DataError, optional_import, reason_of

MAX_VOLUME_BYTES = 1 << 32
"""Largest first volume that is looked for a slice in; memory is needed for a plane of it only."""

HEAD_BYTES = 540
"""Length of the longer of both kinds of header."""

_GZIP = b"\x1f\x8b"
_MOST_DEFLATED = 1100  # deflate makes no more than 1,032 bytes of one
_Stream: TypeAlias = BinaryIO | gzip.GzipFile


def is_nifti(head: bytes) -> bool:
    """Tell a single-file NIfTI, gzipped or not, by its first bytes."""
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD_BYTES)
        except zlib.error:
            return False
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def decode_nifti(data: bytes | Path, *, where: str, frame: int | None = None) -> Image.Image:
    """Show an axial slice of a volume as an 8-bit image, of mode L or RGB.

    The volume is turned to the directions of the patient (the closest ones, without resampling) and
    the slice shown as radiologists do: seen from the feet, so that the patient's right is on the
    left of the image, the front on top. Slices are counted from 0, from the feet to the head.

    Values are scaled as the header says. ``cal_min`` to ``cal_max`` is shown from black to white if
    the header has them; else bytes stay as they are, and others are stretched from the minimum to
    the maximum of the slice. Values that are not finite, as used for what is masked, are black.
    Of several volumes the first is taken; pixels that are not square stay so.

    Args:
        data: the file, or its bytes.
        where: how to call this image in messages.
        frame: which slice; None takes the middle one.

    Raises:
        ConfigError: nibabel is not installed.
        DataError: damaged, truncated, too large, of complex numbers, or without that slice.
    """
    with _open(data, where=where) as (stream, stored_bytes):
        volume = _read_header(stream, where=where)
        _check_sizes(volume, stored_bytes, where=where)
        axis = int(np.flatnonzero(volume.directions[:, 0] == 2)[0])
        count = volume.shape[axis]
        index = choose_frame(frame, count, default=count // 2, where=where)
        if volume.directions[axis, 1] < 0:
            index = count - 1 - index
        plane = _read_plane(stream, volume, axis, index, where=where)
    from nibabel import orientations

    turn: Any = orientations.apply_orientation
    plane = turn(np.expand_dims(plane, axis), volume.directions)[..., 0]
    # An image begins at the patient's right and front, where the coordinates end.
    return Image.fromarray(_shades(plane[::-1, ::-1].T, volume, where=where))


@dataclass(frozen=True)
class _Volume:
    """What a header says."""

    shape: tuple[int, int, int]
    """Columns, rows and planes of the first volume."""
    dtype: Any
    """Of its voxels."""
    start: int
    """Of the first voxel in the file."""
    directions: NDArray[np.float64]
    """As nibabel has them: per axis, which of the patient's it is, and 1 or -1."""
    scaling: tuple[float, float]
    """Slope and intercept from stored to scaled values."""
    window: tuple[float, float] | None
    """Values to be shown as black and white, if there are any."""


@contextmanager
def _open(data: bytes | Path, *, where: str) -> Iterator[tuple[_Stream, int]]:
    """Give the uncompressed stream and the most bytes that it can have."""
    try:
        with data.open("rb") if isinstance(data, Path) else io.BytesIO(data) as raw:
            file = cast(BinaryIO, raw)
            gzipped = file.read(2) == _GZIP
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            if gzipped:
                with gzip.open(file) as unfolded:
                    yield unfolded, size * _MOST_DEFLATED
            else:
                yield file, size
    except OSError as error:
        reason = error.strerror or reason_of(error)
        raise DataError(f"{where}: cannot be read ({reason})") from error
    except (EOFError, ValueError, OverflowError, zlib.error) as error:
        raise DataError(f"{where}: truncated or damaged NIfTI file") from error


def _read_header(stream: _Stream, *, where: str) -> _Volume:
    with optional_import("NIfTI files need nibabel; run: pip install nibabel"):
        import nibabel
    head = stream.read(HEAD_BYTES)
    try:
        second = head[4:8] == b"n+2\0"
        kind: Any = nibabel.Nifti2Header if second else nibabel.Nifti1Header
        directions: Any = nibabel.orientations.io_orientation
        # Checks would log; what matters is checked here.
        header = kind(head[: kind.sizeof_hdr], check=False)
        columns, rows, planes = (*map(int, header.get_data_shape()), 1, 1, 1)[:3]
        scaling = (float(header["scl_slope"]), float(header["scl_inter"]))
        window = (float(header["cal_min"]), float(header["cal_max"]))
        volume = _Volume(
            shape=(columns, rows, planes),
            dtype=header.get_data_dtype(),
            start=int(header["vox_offset"]),
            directions=directions(header.get_best_affine()),
            # Others are the format's way to say: not scaled.
            scaling=scaling if np.isfinite(scaling).all() and scaling[0] else (1.0, 0.0),
            window=window if np.isfinite(window).all() and window[1] > window[0] else None,
        )
    except Exception:  # nibabel raises almost anything on damaged input
        raise DataError(f"{where}: damaged NIfTI header") from None
    if sorted(volume.directions[:, 0]) != [0, 1, 2]:
        raise DataError(f"{where}: damaged NIfTI header (directions of the axes)")
    return volume


def _check_sizes(volume: _Volume, most_bytes: int, *, where: str) -> None:
    """Refuse what is too large, or larger than the file can be, before any of it is read."""
    shape = volume.shape
    if min(shape) < 1 or volume.start < 0:
        raise DataError(f"{where}: damaged NIfTI header (shape {shape})")
    # Any two axes: the slice, and the plane of the file that it is gathered from.
    for first, second in ((0, 1), (0, 2), (1, 2)):
        check_size(shape[first], shape[second], where=where)
    colours = volume.dtype.names is not None and volume.dtype.names[:3] == ("R", "G", "B")
    if not colours and (volume.dtype.kind not in "iuf" or volume.dtype.itemsize > 8):
        raise DataError(f"{where}: NIfTI voxels of type {volume.dtype} are not read")
    size = shape[0] * shape[1] * shape[2] * volume.dtype.itemsize
    if size > MAX_VOLUME_BYTES:
        raise DataError(f"{where}: NIfTI volume of {size:,} bytes; at most {MAX_VOLUME_BYTES:,}")
    if volume.start + size > most_bytes:
        raise DataError(f"{where}: truncated NIfTI file (a volume of {size:,} bytes)")


def _read_plane(
    stream: _Stream, volume: _Volume, axis: int, index: int, *, where: str
) -> NDArray[Any]:
    """Return the slice ``index`` across an axis; its axes are the other two, in their order."""
    columns, rows, planes = volume.shape
    plane_bytes = columns * rows * volume.dtype.itemsize
    if axis == 2:
        start = volume.start + index * plane_bytes
        return _next_plane(stream, start, volume, where=where)
    # Voxels of the slice are all over the file, a line in every one of its planes.
    gathered = np.empty((volume.shape[1 - axis], planes), volume.dtype)
    for number in range(planes):
        plane = _next_plane(stream, volume.start + number * plane_bytes, volume, where=where)
        gathered[:, number] = plane.take(index, axis)
    return gathered


def _next_plane(stream: _Stream, start: int, volume: _Volume, *, where: str) -> NDArray[Any]:
    """Return a plane of the file, (columns, rows)."""
    columns, rows, _ = volume.shape
    stream.seek(start)
    data = stream.read(columns * rows * volume.dtype.itemsize)
    if len(data) < columns * rows * volume.dtype.itemsize:
        raise DataError(f"{where}: truncated NIfTI file")
    return np.frombuffer(data, volume.dtype).reshape(rows, columns).T


def _shades(plane: NDArray[Any], volume: _Volume, *, where: str) -> NDArray[np.uint8]:
    """Return a slice in 8 bits."""
    if volume.dtype.kind == "V":  # RGB or RGBA, as records of bytes
        return np.stack([plane[name] for name in ("R", "G", "B")], axis=-1)
    slope, intercept = volume.scaling
    if plane.dtype == np.uint8 and volume.scaling == (1.0, 0.0) and volume.window is None:
        return np.ascontiguousarray(plane)
    values = plane.astype(np.float64) * slope + intercept
    finite = np.isfinite(values)
    if not finite.any():
        raise DataError(f"{where}: a NIfTI slice without finite values")
    low, high = volume.window or own_range(values[finite])
    return stretch(np.where(finite, values, low), low, high)
