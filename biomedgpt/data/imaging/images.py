"""Images of any kind as 8-bit RGB, and the preprocessing of the reference.

Images come from strangers: sizes are checked before pixels are decoded, truncated files are
refused rather than filled with grey, and only known formats are opened.

What decoding means here, for training, prediction and every other caller:

* one frame of a file with several, the first unless another is named;
* upright, as the EXIF orientation says; boxes are in pixels of the upright image;
* on white where it is transparent;
* greyscale of more than 8 bits (16-bit PNG or TIFF, 32-bit integer, float) scaled linearly from
  its own minimum..maximum to 0..255; the reference would clip it to white. Colour of 16 bits keeps
  the higher 8;
* CMYK and Lab converted by formula, without regard to colour profiles;
* DICOM (`biomedgpt.data.imaging.dicom`) and NIfTI (`biomedgpt.data.imaging.nifti`) as they are
  meant to be looked at; of a volume the middle axial slice, unless another is named.

Kinds are told by content, whatever a file is called.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedgpt.data.imaging.dicom import decode_dicom
from biomedgpt.data.imaging.dicom_file import is_dicom
from biomedgpt.data.imaging.levels import encode_png, image_of_array
from biomedgpt.data.imaging.nifti import decode_nifti, is_nifti
from biomedgpt.data.imaging.raster import decode_raster, to_rgb
from biomedgpt.data.imaging.size_limits import MAX_FILE_BYTES, check_size, require_file, unreadable
from biomedgpt.errors import DataError, reason_of

_HEAD_BYTES = 4096  # enough to unfold a header of NIfTI from


@dataclass(frozen=True)
class Modality:
    """A kind of file that is no picture."""

    recognises: Callable[[bytes], bool]
    """Says so from its first 4,096 bytes."""
    decode: Callable[..., Image.Image]
    """Called as ``decode(data, where=..., frame=...)`` with bytes or a path; gives RGB or grey of 8
    bits. Sizes are held against the file before memory is taken, see `size_limits`."""


MODALITIES = (Modality(is_dicom, decode_dicom), Modality(is_nifti, decode_nifti))
"""All of them; anything else is a picture."""


def open_image(
    source: str | Path | bytes | NDArray[Any] | Image.Image,
    *,
    where: str = "",
    frame: int | None = None,
) -> Image.Image:
    """Return what somebody gives as an image as 8-bit RGB.

    Args:
        source: a file or its bytes (see `decode_image`); an array of shape (H, W), (H, W, 3) or
            (H, W, 4) (see `biomedgpt.data.imaging.levels.image_of_array`); or a Pillow image,
            which is not changed.
        where: what to call this image in an error message (file and row, or id).
        frame: which frame of a file that has several, or slice of a volume, counted from 0.

    Raises:
        DataError: not an image, damaged, empty, larger than `MAX_PIXELS`, or without that frame.
    """
    if isinstance(source, str | Path | bytes):
        source = Path(source) if isinstance(source, str) else source
        return decode_image(source, where=where, frame=frame)
    where = where or "image"
    if frame:
        raise DataError(f"{where}: only files have frames; leave out the frame")
    try:
        if isinstance(source, np.ndarray):
            if source.ndim > 1:
                check_size(source.shape[1], source.shape[0], where=where)
            return to_rgb(image_of_array(source))
        if isinstance(source, Image.Image):
            check_size(*source.size, where=where)
            source.load()
            return to_rgb(source)
    except (ValueError, OSError) as error:
        raise DataError(f"{where}: {reason_of(error)}") from error
    raise DataError(
        f"{where}: neither a file, nor bytes, nor an array, nor a Pillow image but "
        f"{type(source).__name__}"
    )


def read_image_file(path: Path, *, where: str) -> bytes:
    """Return the bytes of ``path``; DataError, naming ``where``, when it cannot be read."""
    require_file(path, where=where)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"{where}: image {path} has more than {MAX_FILE_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, where=where) from error


def decode_image(data: bytes | Path, *, where: str, frame: int | None = None) -> Image.Image:
    """Decode one encoded image to 8-bit RGB; see the module's docstring.

    Args:
        data: the encoded bytes, or a file that holds them.
        where: what to call this image in an error message (file and row, or id).
        frame: which frame, or slice, of several, counted from 0.

    Raises:
        DataError: not an image, damaged, empty, larger than `MAX_PIXELS`, or without that frame.
        ConfigError: a package for this kind of file is not installed.
    """
    image = _decode(data, where=_name(data, where=where), frame=frame)
    return image if image.mode == "RGB" else image.convert("RGB")


def stored_image(data: bytes | Path, *, where: str, frame: int | None = None) -> bytes:
    """Return the bytes by which prepared data keep an image; `decode_image` makes the same of them.

    Encoded pictures stay as they are. Of DICOM and NIfTI files only the pixels are kept, as shown,
    in a PNG, and likewise when a frame is named. Raises what `decode_image` does.
    """
    name = _name(data, where=where)
    if frame is None and _modality(data, where=where or name) is None:
        return read_image_file(data, where=where) if isinstance(data, Path) else data
    return encode_png(_decode(data, where=name, frame=frame))


def _decode(data: bytes | Path, *, where: str, frame: int | None) -> Image.Image:
    """Decode to an image of mode RGB, or L where a modality has shades of grey only."""
    modality = _modality(data, where=where)
    if modality is not None:
        return modality.decode(data, where=where, frame=frame)
    if isinstance(data, Path):
        data = read_image_file(data, where=where)
    return decode_raster(data, where=where, frame=frame)


def _name(data: bytes | Path, *, where: str) -> str:
    """Return how to call an image in messages."""
    if isinstance(data, Path):
        return f"{where}: {data.name}" if where else str(data)
    return where or "image"


def _modality(data: bytes | Path, *, where: str) -> Modality | None:
    """Tell what an image is by its first bytes; None for pictures, as cameras and scanners make."""
    if isinstance(data, Path):
        require_file(data, where=where)
        try:
            with data.open("rb") as file:
                head = file.read(_HEAD_BYTES)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            raise unreadable(data, error, where=where) from error
    else:
        head = data[:_HEAD_BYTES]
    return next((modality for modality in MODALITIES if modality.recognises(head)), None)


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation per channel, of values from 0 to 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


HALF = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Of the reference, for all tasks but image classification."""
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Of the reference for image classification."""


def preprocess(
    image: Image.Image, size: int, normalization: Normalization = HALF
) -> NDArray[np.float32]:
    """Resize an RGB image to a square (Pillow, bicubic) and normalise it as the reference does.

    Returns:
        float32 of shape (3, size, size), ``(x / 255 - mean) / std``; contiguous and writable.
    """
    return normalize(resize(image, size), normalization)


def resize(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return the pixels of an RGB image as a square (size, size, 3)."""
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def normalize(pixels: NDArray[np.uint8], normalization: Normalization) -> NDArray[np.float32]:
    """Return pixels (H, W, 3) as `preprocess` does, (3, H, W)."""
    array = pixels.astype(np.float32).transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    array = np.ascontiguousarray(array)
    array /= np.float32(255)
    array -= np.array(normalization.mean, dtype=np.float32)[:, None, None]
    array /= np.array(normalization.std, dtype=np.float32)[:, None, None]
    return array
