"""Decoded and resized images, kept for the next question about them."""

import hashlib
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomedgpt.data.imaging.images import decode_image, resize

MOST_BYTES = 256 << 20
"""Of kept pixels in each process: 1,365 images of 256 pixels, 341 of 512."""


class ResizedImages:
    """Decodes and resizes encoded images, those it has seen lately only once.

    Decoding and resizing is most of what reading a row costs, and several questions are asked of
    most images.

    Args:
        size: pixels along one side of the squares.
        most_bytes: of pixels to keep; the ones longest unused go first.
    """

    def __init__(self, size: int, *, most_bytes: int = MOST_BYTES) -> None:
        self.size = size
        self._most = most_bytes // (3 * size * size)
        self._kept: OrderedDict[bytes, NDArray[np.uint8]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": OrderedDict()}

    def __call__(self, data: bytes, *, where: str) -> NDArray[np.uint8]:
        """Return the pixels of an encoded image, (size, size, 3); they must not be changed.

        Raises:
            DataError: see `biomedgpt.data.imaging.images.decode_image`.
        """
        key = hashlib.sha256(data).digest()
        pixels = self._kept.pop(key, None)
        if pixels is None:
            pixels = resize(decode_image(data, where=where), self.size)
        self._kept[key] = pixels
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return pixels
