"""Images that show nothing, and drawings where a medical image should be.

A rule, not a classifier: charts, tables and diagrams are thin lines and flat areas on white paper.
Of the 315 images of VQA-RAD it takes none for a drawing, and 17 of the same images inverted, on
white that is; charts, tables and curves drawn for the tests are found also as JPEG files of quality
50. It does not find photographs that are not medical, drawings on dark ground, or charts beside
images.
"""

import numpy as np
from PIL import Image

LEAST_DEVIATION = 4.0
"""Standard deviation of the grey values (0 to 255), below which an image counts as blank."""
PAPER = 235
PAPER_SHARE = 0.7
FLAT_DIFFERENCE = 3
FLAT_SHARE = 0.7
_SIDE = 256  # pixels that larger images are sampled down to, without mixing colours


def is_blank(image: Image.Image) -> bool:
    """Say whether an image is of (almost) one grey."""
    return float(_sample(image).mean(axis=2).std()) < LEAST_DEVIATION


def is_drawing(image: Image.Image) -> bool:
    """Say whether an image is a chart, a table, a diagram or text on white.

    At least `PAPER_SHARE` of the pixels are as bright as `PAPER`, and `FLAT_SHARE` differ from
    those to the right and below by at most `FLAT_DIFFERENCE`.
    """
    pixels = _sample(image)
    if (pixels.min(axis=2) >= PAPER).mean() < PAPER_SHARE:
        return False
    across = np.abs(np.diff(pixels, axis=1)).max(axis=2)[:-1] <= FLAT_DIFFERENCE
    down = np.abs(np.diff(pixels, axis=0)).max(axis=2)[:, :-1] <= FLAT_DIFFERENCE
    return bool((across & down).mean() >= FLAT_SHARE)


def _sample(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """Return pixels of an image as RGB, (height, width, 3), at most `_SIDE` along each side."""
    size = (min(image.width, _SIDE), min(image.height, _SIDE))
    resized = image.convert("RGB").resize(size, Image.Resampling.NEAREST)
    return np.asarray(resized, dtype=np.int16)
