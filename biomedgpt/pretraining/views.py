"""Random views of training images in pretraining, with the boxes that are in them.

Changes are of the reference's kinds (``data/pretrain_data/unify_dataset.py``), but milder: a crop
keeps at least half of the image, where the reference's may keep a quarter, because a lesion must
not be cut away while the text still speaks of it.

* A pair of image and text: the centre of the image, then two mild operations of RandAugment. No
  mirroring: "left" must stay left.
* A region and its phrase: a random part of the image with the whole region in it.
* Objects: a random part, mirrored every other time. Boxes are cut at its border.

Images that are restored from codes stay as they are, since the codes are those of the whole image.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps

from biomedgpt.data.imaging.boxes import Box, LabelledBox
from biomedgpt.errors import optional_import

LEAST_SIDE = 2**-0.5
"""Smallest share of each side that a crop keeps: half of the area."""
OPERATIONS, MAGNITUDE = 2, 7


def augment_pair(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return another view of an RGB image that a text describes as a whole.

    Raises:
        ConfigError: torchvision is not installed.
    """
    with optional_import("augmentation needs torchvision; run: make setup, or set augment = false"):
        from torchvision.transforms import v2
    share = rng.uniform(LEAST_SIDE, 1.0)
    image = image.crop(_window(image.size, share, ((1 - share) / 2,) * 2))
    change = v2.RandAugment(num_ops=OPERATIONS, magnitude=MAGNITUDE, fill=[127] * 3)
    # torchvision draws from torch's generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        changed: Image.Image = change(image)
    return changed


def augment_region(
    image: Image.Image, box: Box, rng: np.random.Generator
) -> tuple[Image.Image, Box]:
    """Return a random part of an image with the whole of ``box`` in it, and the box there."""
    ends = np.array(box) / (image.size * 2)  # shares of the sides
    least = max(LEAST_SIDE, *(ends[2:] - ends[:2]))
    share = rng.uniform(least, 1.0) if least < 1 else 1.0
    low = np.maximum(ends[2:] - share, 0)
    high = np.minimum(ends[:2], 1 - share)
    window = _window(image.size, share, tuple(rng.uniform(low, np.maximum(low, high))))
    # Whole pixels: the window may begin or end up to one inside the box.
    found = _inside(box, window)
    return (image.crop(window), found) if found is not None else (image, box)


def augment_objects(
    image: Image.Image, objects: Sequence[LabelledBox], rng: np.random.Generator
) -> tuple[Image.Image, list[LabelledBox]]:
    """Return a random part of an image, mirrored or not, and the objects that are in it.

    If that part has no object, it is the whole image.
    """
    share = rng.uniform(LEAST_SIDE, 1.0)
    window = _window(image.size, share, tuple(rng.uniform(0.0, 1 - share, size=2)))
    mirrored = rng.random() < 0.5
    boxes = [_inside(one.box, window) for one in objects]
    if not any(boxes):
        window = (0, 0, *image.size)
        boxes = [one.box for one in objects]
    width = window[2] - window[0]
    seen = []
    for one, box in zip(objects, boxes, strict=True):
        if box is None:
            continue
        x0, y0, x1, y1 = box
        seen.append(LabelledBox((width - x1, y0, width - x0, y1) if mirrored else box, one.label))
    image = image.crop(window)
    return (ImageOps.mirror(image) if mirrored else image), seen


def _window(
    size: tuple[int, int], share: float, start: Sequence[float]
) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom, in whole pixels, of a part of an image."""
    width, height = size
    left, top = round(start[0] * width), round(start[1] * height)
    right, bottom = left + max(round(share * width), 1), top + max(round(share * height), 1)
    return left, top, min(right, width), min(bottom, height)


def _inside(box: Box, window: tuple[int, int, int, int]) -> Box | None:
    """Return what of a box is in a window, in the window's pixels; None if nothing is."""
    x0, y0 = max(box[0], window[0]), max(box[1], window[1])
    x1, y1 = min(box[2], window[2]), min(box[3], window[3])
    if x1 <= x0 or y1 <= y0:
        return None
    return x0 - window[0], y0 - window[1], x1 - window[0], y1 - window[1]
