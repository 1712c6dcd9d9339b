"""Weights, tensors and tables that both sides are given: functions of names and shapes alone.

Legend: B examples, S source tokens, T target tokens.
"""

import base64
import io
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_FIRST, _LAST = 4, 50000
"""Text entries that random tokens are drawn from."""
_WORDS = ("is", "there", "a", "fracture", "in", "the", "left", "right", "lung", "which", "organ")


@torch.no_grad()
def fill(state: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Give every weight in ``names`` the same values whoever holds it, in place.

    Maps keep the variance of what passes through them; norms are near one. Drawn per key, so that
    no second copy of the weights is made.
    """
    for key in names:
        value = state[key]
        if not value.is_floating_point():
            continue
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        drawn = value if value.device.type == "cpu" else torch.empty(value.shape)
        if value.dim() >= 2:
            fan_in = value[0].numel()
            std = 0.1 if "embed" in key or "rel_pos_table" in key else fan_in**-0.5
            drawn.normal_(0.0, std, generator=generator)
        else:
            last = key.rpartition(".")[2]
            ones = last in ("weight", "running_var", "c_attn", "w_resid")
            base = 1.0 if ones else 0.0
            if last == "weight" and "embed_images" in key:
                base = 0.3  # keeps the residual stream of an untrained ResNet small
            drawn.normal_(base, 0.05, generator=generator)
        if drawn is not value:
            value.copy_(drawn)


def tokens(seed: int, *shape: int) -> Tensor:
    """Return text tokens."""
    return torch.randint(_FIRST, _LAST, shape, generator=torch.Generator().manual_seed(seed))


def source(options: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the model's inputs for a source of text and images, without padding."""
    batch, length, side = options["batch"], options["source"], options["image"]
    text = tokens(1, batch, length)
    text[:, 0], text[:, -1] = 0, 2
    generator = torch.Generator().manual_seed(2)
    return {
        "src_tokens": text,  # (B, S)
        "patch_images": torch.randn(batch, 3, side, side, generator=generator),
        "patch_masks": torch.ones(batch, dtype=torch.bool),
    }


def target(options: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    """Return the decoder's input and what it is to predict, (B, T) each."""
    wanted = tokens(3, options["batch"], options["target"])
    wanted[:, -1] = 2
    given = torch.cat([torch.zeros_like(wanted[:, :1]), wanted[:, :-1]], dim=1)
    return given, wanted


def candidates(count: int) -> list[list[int]]:
    """Return token sequences of candidate answers: mostly short, with shared beginnings."""
    rng = np.random.default_rng(4)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        length = rng.choice([1, 2, 3, 4, 5, 6, 8], p=[0.42, 0.22, 0.13, 0.1, 0.06, 0.04, 0.03])
        # A few hundred different words, the first ones more often.
        words = (600 * rng.random(length) ** 2).astype(int) * 37 + 100
        found[tuple(words.tolist())] = None
    return [list(sequence) for sequence in found]


def write_table(path: Path, options: Mapping[str, int]) -> None:
    """Write a VQA table in the published format: several questions to an image."""
    rng = np.random.default_rng(5)
    side = options["pixels"]
    number = 0
    with path.open("w", encoding="utf-8") as file:
        for image_id in range(options["images"]):
            encoded = _photo(rng, side)
            for _ in range(options["questions"]):
                question = " ".join(rng.choice(_WORDS, 9))
                answer = ("yes", "no", "left", "chest x-ray")[int(rng.integers(4))]
                row = (number, f"{image_id}.jpg", question, f"1.0|!+{answer}", "", encoded)
                file.write("\t".join(map(str, row)) + "\n")
                number += 1


def _photo(rng: np.random.Generator, side: int) -> str:
    """Return a JPEG in base64, with the structure and the size in bytes of a radiograph."""
    coarse = Image.fromarray(rng.integers(0, 256, (side // 16, side // 16), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)
    grain = rng.normal(0, 4, smooth.shape)
    pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(buffer, "JPEG", quality=90)
    return base64.b64encode(buffer.getvalue()).decode()
