"""Safe image decoding and the preprocessing of the reference.

Images come from strangers: headers are checked before pixels are decoded, truncated files are
refused rather than filled with grey, and only common raster formats are opened (Pillow would run
an external interpreter for PostScript).

What decoding means here, for every caller:

* the first frame of a multi-frame file;
* EXIF rotation is not applied and alpha is dropped, as ``convert("RGB")`` in the reference does;
* greyscale of more than 8 bits (16-bit PNG or TIFF, 32-bit integer, float) is scaled linearly
  from its own minimum..maximum to 0..255; the reference would clip it to white.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from biomedgpt.errors import DataError

MAX_PIXELS = 100_000_000
"""Largest accepted width x height; decoded as RGB this is 300 MB."""

FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow formats that are opened."""


def read_image_file(path: Path, *, where: str) -> bytes:
    """Return the bytes of ``path``; DataError, naming ``where``, when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{where}: cannot read image {path}: {reason}") from error


def decode_image(data: bytes | Path, *, where: str) -> Image.Image:
    """Decode one encoded image to 8-bit RGB.

    Args:
        data: the encoded bytes, or a file that holds them.
        where: what to call this image in an error message (file and row, or id).

    Raises:
        DataError: not an image, truncated, empty, or larger than `MAX_PIXELS`.
    """
    if isinstance(data, Path):
        where = f"{where}: {data.name}" if where else str(data)
        data = read_image_file(data, where=where)
    try:
        with warnings.catch_warnings():
            # Pillow only warns where the limit below refuses.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height <= MAX_PIXELS:
            image.load()
            return _to_rgb(image)
    except Image.DecompressionBombError as error:
        raise DataError(f"{where}: image has more than {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{where}: not an image of a known kind ({len(data):,} bytes)") from error
    except Exception as error:  # Pillow's readers raise almost anything on damaged input.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where}: damaged image ({reason})") from error
    raise DataError(
        f"{where}: image of {width} x {height} has more than {MAX_PIXELS:,} pixels"
    ) from None


def image_size(data: bytes) -> tuple[int, int]:
    """Return width and height of an encoded image that is known to be whole, from its header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.size


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert to 8-bit RGB; deep greyscale is scaled, see the module's docstring."""
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image.convert("RGB")
    values = np.asarray(image).astype(np.float64)  # (H, W)
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("pixels that are not finite numbers")
    scaled = (values - low) * (255.0 / (high - low) if high > low else 0.0)
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")


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
    resized = image.resize((size, size), Image.Resampling.BICUBIC)
    array = np.asarray(resized, dtype=np.float32).transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    array = np.ascontiguousarray(array)
    array /= np.float32(255)
    array -= np.array(normalization.mean, dtype=np.float32)[:, None, None]
    array /= np.array(normalization.std, dtype=np.float32)[:, None, None]
    return array
