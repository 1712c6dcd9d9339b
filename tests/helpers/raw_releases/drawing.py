"""Images for raw releases."""

import io

import numpy as np
from PIL import Image


def picture(seed: int, *, size: tuple[int, int] = (32, 24), grey: bool = False) -> Image.Image:
    """Return a random image of (width, height); another seed gives another one."""
    shape = size[::-1] if grey else (*size[::-1], 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(seed: int, *, format: str = "PNG", grey: bool = False) -> bytes:
    """Return an encoded random image."""
    buffer = io.BytesIO()
    picture(seed, grey=grey).save(buffer, format)
    return buffer.getvalue()
