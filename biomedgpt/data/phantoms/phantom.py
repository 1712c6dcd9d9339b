"""One phantom: image, lesions with boxes, questions, caption, class, report."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from biomedgpt.data.imaging.levels import encode_png
from biomedgpt.data.phantoms import wording
from biomedgpt.data.phantoms.drawing import render
from biomedgpt.data.phantoms.scene import MODALITIES, Lesion, Scene, sample_scene
from biomedgpt.data.phantoms.wording import PhantomQuestion
from biomedgpt.errors import ConfigError

DEFAULT_SIZE = 96
_SMALLEST_SIZE = 48  # below it, kinds of lesions cannot be told apart
_LARGEST_SIZE = 4096  # beyond it, drawing takes gigabytes


@dataclass(frozen=True)
class FoundLesion:
    """A lesion as an annotator would mark it."""

    kind: str
    """One of "nodule", "cyst" and "calcification"."""
    side: str
    """Half of the image as displayed, "left" or "right"."""
    box: tuple[float, float, float, float]
    """``(x0, y0, x1, y1)`` in pixels."""
    height: str
    """Part of the image, "upper", "middle" or "lower"."""


@dataclass(frozen=True)
class Phantom:
    """An image and everything known about it."""

    image: NDArray[np.uint8]
    """Of type uint8 and shape (size, size)."""
    view: str
    """One of "head", "chest" and "abdomen"."""
    modality: str
    """Either "ct" or "x-ray"."""
    enlarged: bool
    """Whether ventricles, heart or liver are."""
    lesions: tuple[FoundLesion, ...]
    """None to three, all of one kind."""
    questions: tuple[PhantomQuestion, ...]
    """With answers and types as in VQA-RAD."""
    caption: str
    """View, and number, kind and side of the lesions."""
    label: str
    """Class name, "normal" or the kind of the lesions."""
    findings: str
    """Report of several sentences."""
    impression: str
    """The report in brief."""

    def png(self) -> bytes:
        """Return the image, encoded."""
        return encode_png(Image.fromarray(self.image))


def draw(split: str, count: int, *, seed: int, size: int, what: str) -> Iterator[Phantom]:
    """Draw the first phantoms of a split, with a bar that says of what; see `generate`."""
    for index in tqdm(range(count), desc=f"drawing {what}", unit=" images", disable=None):
        yield generate(split, index, seed=seed, size=size)


def generate(split: str, index: int, *, seed: int, size: int = DEFAULT_SIZE) -> Phantom:
    """Draw phantom ``index`` of a split; it depends on nothing but the arguments.

    Args:
        split: any name; splits of different names have nothing in common.
        index: number within the split, from 0.
        seed: of the whole dataset, from 0.
        size: pixels along one side. The scene and all texts are the same at every size.

    Raises:
        ConfigError: a negative index or seed, or a size too small to tell lesions apart or
            too large to draw.
    """
    if size < _SMALLEST_SIZE:
        raise ConfigError(f"phantoms of {size} pixels are too small; ask for {_SMALLEST_SIZE}")
    if size > _LARGEST_SIZE:
        raise ConfigError(f"phantoms of {size} pixels are too large; ask for {_LARGEST_SIZE}")
    scene, questions, pixels = _draw(split, index, seed)
    return Phantom(
        image=render(scene, size, pixels),
        view=scene.view,
        modality=MODALITIES[scene.view],
        enlarged=scene.enlarged,
        lesions=tuple(
            FoundLesion(lesion.kind, lesion.side, _box(lesion, size), wording.height(lesion))
            for lesion in scene.lesions
        ),
        questions=questions,
        caption=wording.caption(scene),
        label=wording.label(scene),
        findings=wording.findings(scene),
        impression=wording.impression(scene),
    )


def texts(split: str, index: int, *, seed: int) -> list[str]:
    """All texts of a phantom, without drawing it."""
    scene, questions, _ = _draw(split, index, seed)
    return [
        *(text for question in questions for text in (question.text, question.answer)),
        wording.caption(scene),
        wording.label(scene),
        wording.findings(scene),
        wording.impression(scene),
    ]


def _draw(
    split: str, index: int, seed: int
) -> tuple[Scene, tuple[PhantomQuestion, ...], np.random.Generator]:
    """Draw scene and questions; the generator left is for the pixels."""
    if index < 0 or seed < 0:
        raise ConfigError(f"index {index} and seed {seed} of a phantom must not be negative")
    root = np.random.SeedSequence([seed, zlib.crc32(split.encode()), index])
    # Own generators, so that a change in one stage leaves the others as they are.
    content, asking, pixels = map(np.random.default_rng, root.spawn(3))
    scene = sample_scene(content)
    return scene, wording.ask(scene, asking), pixels


def _box(lesion: Lesion, size: int) -> tuple[float, float, float, float]:
    def pixel(value: float) -> float:
        return min(max((value + 1) * size / 2, 0.0), float(size))

    x, y, radius = lesion.x, lesion.y, lesion.radius
    return pixel(x - radius), pixel(y - radius), pixel(x + radius), pixel(y + radius)
