"""How well a model finds the region that a text describes: the share of boxes with IoU >= 0.5."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from biomedgpt.data.imaging.boxes import Box
from biomedgpt.data.prepared.dataset import PreparedSplit
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.examples.example_encoder import collate
from biomedgpt.generation import generate
from biomedgpt.model import BiomedGPT
from biomedgpt.pretraining.run_file import PretrainingConfig
from biomedgpt.pretraining.streams import GroundingStream
from biomedgpt.vocabulary import Vocabulary

THRESHOLD = 0.5
"""Least intersection over union of a box that counts as found."""


@dataclass(frozen=True)
class GroundingScore:
    """Scores of a split."""

    accuracy: float
    """Share of the boxes with an IoU of at least `THRESHOLD`."""
    mean_iou: float
    """Mean over all boxes."""
    rows: int
    """Number of boxes."""


def iou(first: Box, second: Box) -> float:
    """Return intersection over union of two boxes; 0 where one of them is empty or inverted."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (first, second)]
    return width * height / (sum(areas) - width * height)


def find_boxes(
    model: BiomedGPT,
    vocabulary: Vocabulary,
    split: PreparedSplit,
    *,
    image_size: int,
    max_image_size: int,
    batch_size: int = 32,
) -> Iterator[tuple[Box, Box]]:
    """Yield the box found and the true one, as fractions of the image, of every row.

    The four bins are the most probable ones, one after the other; nothing else can be generated.

    Args:
        model: in evaluation mode.
        vocabulary: the one it was trained with.
        split: rows of kind ``grounding``.
        image_size: pixels along one side of the model's images.
        max_image_size: pixels that its location bins stand for, see `PretrainingConfig`.
        batch_size: rows decoded at once.

    Raises:
        ConfigError: the vocabulary is not the model's.
        DataError: the rows are of another kind, or one cannot be used.
    """
    if len(vocabulary) != model.config.vocab_size:
        raise ConfigError(
            f"the vocabulary has {len(vocabulary)} entries, the model {model.config.vocab_size}; "
            "give the vocabulary that the model was trained with"
        )
    if split.task != "grounding":
        raise DataError(f"{split.path} holds {split.task!r}, not grounding; give such a dataset")
    run = PretrainingConfig(
        image_size=image_size,
        max_image_size=max_image_size,
        augment=False,
        max_source_tokens=model.config.max_positions,
        max_target_tokens=model.config.max_positions,
    )
    stream = GroundingStream([split], run, vocabulary)
    side = 1 / run.bins_per_image
    device = next(model.parameters()).device
    bins = torch.tensor(vocabulary.bins, device=device)
    config = GenerationConfig(beam=1, min_len=4, max_len=4)
    rng = np.random.default_rng(0)  # nothing is drawn in this stream
    rows = range(len(stream))
    for start in tqdm(
        rows[::batch_size], desc=f"grounding {split.name}", unit=" batches", disable=None
    ):
        chosen = rows[start : start + batch_size]
        batch = collate([stream.sample(row, rng) for row in chosen], vocabulary.pad)
        inputs = {
            name: None if value is None else value.to(device)
            for name, value in batch["net_input"].items()
        }
        found = generate(
            model, inputs, config=config, allowed_ids=bins, bos=vocabulary.bos, eos=vocabulary.eos
        )
        for hypotheses, target in zip(found, batch["target"], strict=True):
            both = hypotheses[0].tokens[:4].tolist(), target[:4].tolist()
            guess, truth = (vocabulary.decode_box(ids, width=side, height=side) for ids in both)
            yield guess, truth


def score_grounding(pairs: Iterator[tuple[Box, Box]]) -> GroundingScore:
    """Score what `find_boxes` yields.

    Raises:
        DataError: there is no row.
    """
    values = [iou(found, true) for found, true in pairs]
    if not values:
        raise DataError("no row to score; give a split with rows")
    hits = sum(value >= THRESHOLD for value in values)
    return GroundingScore(hits / len(values), sum(values) / len(values), len(values))
