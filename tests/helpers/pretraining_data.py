"""Phantom corpora, with codes that need no image tokenizer: brightness of the middle's blocks."""

from pathlib import Path

import numpy as np

from biomedgpt.data.imaging.images import decode_image, preprocess
from biomedgpt.data.phantom_releases.corpora import write_phantom_corpora
from biomedgpt.data.prepared.codes import CodesInfo, write_codes
from biomedgpt.data.prepared.dataset import PreparedDataset


def write_codes_of(folder: Path, *, num_codes: int, grid: int = 4, size: int = 64) -> None:
    """Write codes of all splits of a dataset, a function of the images."""
    dataset = PreparedDataset(folder)
    info = CodesInfo(tokenizer="brightness", num_codes=num_codes, image_size=size, middle_grid=grid)
    for name in dataset.splits:
        split = dataset.split(name)
        codes = np.zeros((split.num_images, grid * grid), dtype=np.int32)
        for number in range(split.num_images):
            image = preprocess(decode_image(split.image(number), where=""), size)[0]
            middle = image[size // 4 : size * 3 // 4, size // 4 : size * 3 // 4]
            blocks = middle.reshape(grid, size // 2 // grid, grid, size // 2 // grid).mean((1, 3))
            levels = np.clip((blocks + 1) / 2, 0, 0.999) * num_codes
            codes[number] = levels.astype(np.int32).reshape(-1)
        write_codes(split, info, codes)


def write_corpora(out: Path, *, size: int) -> Path:
    """Write small corpora for all streams, with codes; return their folder."""
    write_phantom_corpora(out, train=30, valid=4, size=size, num_codes=32)
    write_codes_of(out / "images", num_codes=32)
    return out
