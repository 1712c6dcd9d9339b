"""Random changes to training images, for image classification.

The kinds of change are those of the reference (timm's training transform: crop, flip, RandAugment
of magnitude 9, erasing with probability 0.25). Crops keep at least half of the image instead of
8 %: a lesion must not be cut away while its label stays.
"""

import torch
from PIL import Image
from torch import Tensor

from biomedgpt.data.images import Normalization, preprocess
from biomedgpt.errors import ConfigError

CROP_SCALE = (0.5, 1.0)
"""Share of the image's area that a crop keeps."""
MAGNITUDE = 9
ERASING = 0.25
"""Probability that a rectangle is erased."""


class Augmentation:
    """Makes another tensor of the same image for each seed.

    Args:
        size: pixels along one side of the tensor.
        normalization: of the pixels; an erased rectangle is its mean.

    Raises:
        ConfigError: torchvision is not installed.
    """

    def __init__(self, size: int, normalization: Normalization) -> None:
        try:
            from torchvision.transforms import v2
        except ImportError as error:
            raise ConfigError("augmentation needs torchvision; run: make setup") from error
        self.size = size
        self.normalization = normalization
        fill = [round(255 * mean) for mean in normalization.mean]
        bicubic = v2.InterpolationMode.BICUBIC
        self.change = v2.Compose(
            [
                v2.RandomResizedCrop((size, size), scale=CROP_SCALE, interpolation=bicubic),
                v2.RandomHorizontalFlip(),
                v2.RandAugment(magnitude=MAGNITUDE, fill=fill),
            ]
        )
        self.erase = v2.RandomErasing(p=ERASING)

    def __call__(self, image: Image.Image, *, seed: int) -> Tensor:
        """Return ``(3, size, size)``; the same image and seed give the same tensor."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            pixels = preprocess(self.change(image), self.size, self.normalization)
            erased: Tensor = self.erase(torch.from_numpy(pixels))
        return erased
