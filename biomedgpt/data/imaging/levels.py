"""Eight bits of arrays with more: which value becomes black, which white."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BLOCK_PIXELS = 1 << 20


def own_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return minimum and maximum; ValueError when they are not finite."""
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("pixels that are not finite numbers")
    return low, high


def stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Map ``low`` to 0 and ``high`` to 255, linearly; what is beyond is clipped.

    An empty range is black up to ``low`` and white above it.
    """
    if not high > low:
        return np.where(values > low, np.uint8(255), np.uint8(0))
    result = np.empty(values.shape, dtype=np.uint8)
    # In blocks, as an image of the largest size would need gigabytes in double precision.
    rows = max(1, _BLOCK_PIXELS // max(1, values[0].size))
    for start in range(0, len(values), rows):
        block = values[start : start + rows].astype(np.float64)
        block -= low
        block *= 255.0 / (high - low)
        result[start : start + rows] = np.rint(block.clip(0.0, 255.0))
    return result


def image_of_array(array: NDArray[Any]) -> Image.Image:
    """Make an 8-bit image of an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    * ``uint8`` stays as it is, and False and True are black and white;
    * ``float`` is 0..1 from black to white where all values are within that; other greyscale is
      stretched from its own minimum and maximum, other colour is refused;
    * greyscale of any other integer type is stretched from its own minimum and maximum;
    * colour of ``uint16`` is scaled from 0..65535, so that its hue stays.

    Raises:
        ValueError: another shape or type, or values that are not finite.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    grey = array.ndim == 2
    if not (grey or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ValueError(f"array of shape {array.shape}, must be (H, W), (H, W, 3) or (H, W, 4)")
    kind = array.dtype.kind
    if array.dtype == np.bool_:
        pixels = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype == np.uint8:
        pixels = np.ascontiguousarray(array)
    elif kind == "f":
        low, high = own_range(array)
        if low >= 0.0 and high <= 1.0:
            pixels = stretch(array, 0.0, 1.0)
        elif grey:
            pixels = stretch(array, low, high)
        else:
            raise ValueError(f"colours from {low:g} to {high:g}, must be from 0 to 1, or uint8")
    elif kind in "iu" and grey:
        pixels = stretch(array, *own_range(array))
    elif array.dtype == np.uint16:
        pixels = stretch(array, 0.0, 65535.0)
    else:
        raise ValueError(f"pixels of type {array.dtype}, must be uint8, uint16 or float")
    return Image.fromarray(pixels)


def encode_png(image: Image.Image | NDArray[np.uint8]) -> bytes:
    """Return an image as PNG: without loss, and with nothing but its pixels."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, "PNG")
    return buffer.getvalue()
