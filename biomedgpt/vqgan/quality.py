"""A page that shows what an image tokenizer keeps, and what the model puts into hidden middles."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from biomedgpt.data.imaging.addresses import png_uri
from biomedgpt.data.imaging.images import decode_image, preprocess
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.errors import DataError
from biomedgpt.model import BiomedGPT
from biomedgpt.report.html import write_page
from biomedgpt.vocabulary import Vocabulary
from biomedgpt.vqgan.generation import fill, grid_of, infill
from biomedgpt.vqgan.pixels import centre, psnr, to_image
from biomedgpt.vqgan.tokenizer import ImageTokenizer, decode_images

_SHOWN = 12
_INFILLED = 24  # images whose middle is filled in; each takes as many steps as it has codes


@dataclass(frozen=True)
class Scores:
    """PSNR per image in dB."""

    reconstructed: list[float]
    """Of whole images after encoding and decoding."""
    infilled: list[float]
    """Of the middles that the model wrote; empty without a model."""
    middle: list[float]
    """Of the same middles after encoding and decoding, the most that can be reached."""
    codes_used: int
    """Different codes among all images."""


def write_report(
    out_html: Path,
    split: PreparedSplit,
    tokenizer: ImageTokenizer,
    *,
    model: BiomedGPT | None = None,
    vocabulary: Vocabulary | None = None,
    image_size: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> Scores:
    """Encode and decode every image of a split, write the page, return the scores.

    Args:
        out_html: where to write it (atomically).
        split: the images.
        tokenizer: encodes and decodes.
        model: fills in the middles of some images, if given; with its ``vocabulary``.
        vocabulary: of the model.
        image_size: see `infill`.
        batch_size: images encoded at once.
        seed: picks the images shown.

    Raises:
        DataError: no images, or a damaged one.
        ConfigError: it cannot be written, or model and tokenizer do not fit.
    """
    if not split.num_images:
        raise DataError(f"{split.path}: no images; give a dataset with images")
    picked = set(_pick(split, _SHOWN, seed))
    scores: list[float] = []
    used: set[int] = set()
    reconstructions = []
    for numbers, pixels, codes, decoded in decode_images(tokenizer, split, batch_size=batch_size):
        used.update(codes.unique().tolist())
        scores += psnr(decoded, pixels).tolist()
        for number, original, image in zip(numbers, pixels, decoded, strict=True):
            if number in picked:
                shown = {"original": original, "decoded": image}
                reconstructions.append(_example(number, f"{scores[number]:.1f} dB", shown))
    infilled: list[float] = []
    middles: list[float] = []
    fillings = []
    if model is not None and vocabulary is not None:
        chosen = _pick(split, _INFILLED, seed)
        for number in tqdm(chosen, desc="filling in", unit=" images", disable=None):
            image = decode_image(split.image(number), where=f"image {number + 1}")
            result = infill(model, vocabulary, tokenizer, image, image_size=image_size)
            truth = centre(result.original)[None]
            side = 2 * grid_of(model) * tokenizer.downsampling
            known = tokenizer.encode(centre(torch.from_numpy(preprocess(image, side)))[None])
            best = fill(result.original, known, tokenizer)
            infilled.append(float(psnr(centre(result.filled[:1]), truth)))
            middles.append(float(psnr(centre(best), truth)))
            note = f"{infilled[-1]:.1f} dB; through the tokenizer {middles[-1]:.1f} dB"
            shown = {
                "original": result.original,
                "hidden middle": result.masked,
                "filled in": result.filled[0],
                "middle from its own codes": best[0],
            }
            fillings.append(_example(number, note, shown))
    size = tokenizer.image_size
    grid = tokenizer.grid(size)
    facts = {
        "images": f"{len(scores):,} of {split.path.name}, {size} x {size} pixels",
        "codes": f"{grid} x {grid} per image, of {tokenizer.num_codes:,}; "
        f"{len(used):,} of them used",
        "tokenizer": tokenizer.fingerprint[:16],
    }
    write_page(
        out_html,
        "vqgan.html",
        title=f"Images as codes: {split.folder.resolve().name}, {split.name}",
        headline=_headline(scores, infilled, middles),
        reconstructions=reconstructions,
        fillings=fillings[:_SHOWN],
        facts=facts,
    )
    return Scores(scores, infilled, middles, len(used))


def _pick(split: PreparedSplit, count: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(split.num_images), min(count, split.num_images))


def _headline(
    scores: Sequence[float], infilled: Sequence[float], middles: Sequence[float]
) -> list[tuple[str, str, str]]:
    return [
        (name, f"{fmean(values):.2f} dB", f"median {median(values):.1f}, lowest {min(values):.1f}")
        for name, values in (
            ("encoded and decoded", scores),
            ("middle filled in by the model", infilled),
            ("the same middles, encoded and decoded", middles),
        )
        if values
    ]


def _example(number: int, note: str, images: Mapping[str, Tensor]) -> dict[str, Any]:
    shown = [(name, png_uri(to_image(pixels))) for name, pixels in images.items()]
    return {"title": f"image {number + 1}", "note": note, "images": shown}
