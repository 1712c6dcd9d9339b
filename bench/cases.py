"""What is measured: names and shapes, the same for both sides.

A source of ``source`` text tokens and an image, ``batch`` of them. Generation is held to its full
length (no end of sequence before it), so that both sides take the same number of steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VOCABULARY = 59457
"""Entries of the published vocabulary: text, 8192 image codes, 1000 location bins."""
IMAGE_CODES = 8192
ADAM: dict[str, Any] = {"lr": 0.0, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
"""The published recipes' optimizer; a rate of 0 costs the same and leaves both sides' weights."""
CLIP_NORM = 1.0
"""Of all gradients together, in the published recipes."""
CANDIDATES = 517
"""Candidate answers, as many as VQA-RAD has."""


@dataclass(frozen=True)
class Case:
    """One line of the table for each size."""

    name: str
    kind: str
    """Method of a side (`bench.ours.Ours`) that prepares it."""
    options: Mapping[str, Any]
    sized: bool = True
    """Whether it depends on the size of the model."""


def _train(name: str, **options: int) -> Case:
    shape = {"batch": 2, "image": 256, "source": 64, "target": 32, "update": 1}
    return Case(name, "train", shape | options)


def _generate(name: str, **options: int) -> Case:
    shape = {"batch": 2, "image": 256, "source": 64}
    return Case(name, "generate", shape | options)


_QUESTION = {"batch": 1, "image": 256, "source": 16}
ROWS = {"images": 24, "questions": 8, "pixels": 640, "image": 256, "batch": 16}
"""A table of rows with images that several questions are about."""

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        _train("train"),
        _train("gradients", update=0),
        _train("train-384", image=384),
        _train("train-long", source=512),
        Case("train-vqa", "train_vqa", {"batch": 8, "image": 256, "source": 16, "update": 1}),
        Case("encoder", "encoder", {"batch": 2, "image": 256, "source": 64}),
        Case("encoder-384", "encoder", {"batch": 2, "image": 384, "source": 64}),
        _generate("greedy-32", beam=1, length=32),
        _generate("greedy-128", beam=1, length=128),
        _generate("beam5-32", beam=5, length=32),
        _generate("beam5-128", beam=5, length=128),
        Case("allcand-517", "all_candidates", _QUESTION),
        Case("trie-beam5", "trie_beam", _QUESTION | {"beam": 5}),
        Case("vqgan-encode", "vqgan_encode", {"batch": 1, "image": 256}, sized=False),
        Case("vqgan-decode", "vqgan_decode", {"batch": 1, "image": 256}, sized=False),
        Case("load-0", "load", ROWS | {"workers": 0}, sized=False),
        Case("load-1", "load", ROWS | {"workers": 1}, sized=False),
        Case("load-2", "load", ROWS | {"workers": 2}, sized=False),
        Case("prepare", "prepare", ROWS, sized=False),
        Case("first-answer", "first_answer", {"image": 256, "length": 5}),
    )
}
