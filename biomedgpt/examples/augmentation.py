"""Random changes to training images, for image classification.

Strong changes are of the reference's kinds (timm's training transform: crop, flip, RandAugment of
magnitude 9, erasing with probability 0.25), but crops keep at least half of the image instead of
8 %: a lesion must not be cut away while its label stays. They suit pretrained weights. Light ones,
crops of four fifths and flips, suit small models from scratch, which learn little with strong ones.
"""

from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from biomedgpt.data.imaging.images import Normalization, preprocess
from biomedgpt.errors import optional_import

Strength = Literal["light", "strong"]
CROP_SCALE: dict[Strength, tuple[float, float]] = {"light": (0.8, 1.0), "strong": (0.5, 1.0)}
"""Share of the image's area that a crop keeps, at least and at most."""
MAGNITUDE = 9
ERASING = 0.25
"""Probability that a rectangle is erased."""


class Augmentation:
    """Makes another tensor of the same image for each seed.

    Args:
        size: pixels along one side of the tensor.
        normalization: of the pixels; an erased rectangle is its mean.
        strength: light or strong.

    Raises:
        ConfigError: torchvision is not installed.
    """

    def __init__(self, size: int, normalization: Normalization, *, strength: Strength) -> None:
        with optional_import("augmentation needs torchvision; run: make setup"):
            from torchvision.transforms import v2
        self.size = size
        self.normalization = normalization
        scale, bicubic = CROP_SCALE[strength], v2.InterpolationMode.BICUBIC
        changes = [
            v2.RandomResizedCrop((size, size), scale=scale, interpolation=bicubic),
            v2.RandomHorizontalFlip(),
        ]
        if strength == "strong":
            fill = [round(255 * mean) for mean in normalization.mean]
            changes.append(v2.RandAugment(magnitude=MAGNITUDE, fill=fill))
        self.change = v2.Compose(changes)
        self.erase = v2.RandomErasing(p=ERASING if strength == "strong" else 0.0)

    def __call__(self, image: Image.Image, *, seed: int) -> Tensor:
        """Return ``(3, size, size)``; the same image and seed give the same tensor."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            pixels = preprocess(self.change(image), self.size, self.normalization)
            erased: Tensor = self.erase(torch.from_numpy(pixels))
        return erased
