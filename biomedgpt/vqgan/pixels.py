"""Between image files and the pixels that a tokenizer works on."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from biomedgpt.data.imaging.images import decode_image, preprocess
from biomedgpt.data.prepared.dataset import PreparedSplit


def load_pixels(split: PreparedSplit, number: int, size: int) -> Tensor:
    """Return a distinct image of a split as (3, size, size) in [-1, 1]; DataError if damaged.

    It is resized to a square as the model's input is.
    """
    image = decode_image(split.image(number), where=f"{split.path}: image {number + 1}")
    return torch.from_numpy(preprocess(image, size))


def centre(pixels: Tensor) -> Tensor:
    """Return the centre half of (..., H, W): the part that masked image modelling hides."""
    height, width = pixels.shape[-2:]
    top, left = height // 4, width // 4
    return pixels[..., top : top + height // 2, left : left + width // 2]


def to_image(pixels: Tensor) -> Image.Image:
    """Return (3, H, W) in [-1, 1] as an 8-bit RGB image."""
    values = ((pixels.detach().cpu().clamp(-1, 1) + 1) * 127.5).round()
    return Image.fromarray(values.permute(1, 2, 0).numpy().astype(np.uint8))


def psnr(pixels: Tensor, reference: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in dB: (B, 3, H, W) -> (B).

    The peak is the whole range of [-1, 1]; an image without any error has 100 dB, not infinity.
    """
    error = (pixels - reference).square().mean((1, 2, 3))
    return 10 * torch.log10(4 / error.clamp(min=4e-10))
