"""What a probe changes: the image, the wording of the question, the order of its options."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from biomedgpt.data.imaging.raster import image_size
from biomedgpt.errors import DataError
from biomedgpt.suites.questions import Benchmark, Question

GREY = (128, 128, 128)
REAL = "real"
IMAGES = ("blank", "noise", "shuffled")
PARAPHRASES = ("paraphrase-1", "paraphrase-2")
ORDERS = ("options-reversed", "options-rotated")
"""Names of the forms in which questions are put, also of their prediction files."""

FORMS = {
    REAL: "as it is",
    "blank": "a mid-grey image",
    "noise": "random pixels, the same for the same question",
    "shuffled": "the image of another question, never the same image",
    "paraphrase-1": "reworded: 'is there X?' becomes 'can X be seen?', and the like",
    "paraphrase-2": "reworded: 'looking at the image, ...'",
    "options-reversed": "options in reverse order",
    "options-rotated": "the first option last",
}
"""What is changed in each of them."""

Picture = bytes | Image.Image | None

_REWORDINGS = (
    (r"is there (?:any\s+)?(?P<what>.+)", r"can {what} be seen"),
    (r"are there (?:any\s+)?(?P<what>.+)", r"can {what} be seen"),
    (r"(?:does|do) (?:this|the) (?:image|picture|scan) show (?P<what>.+)", r"is {what} visible"),
    (r"what is shown (?P<what>.+)", r"what can be seen {what}"),
    (r"where is (?P<what>.+)", r"in which place is {what}"),
    (r"how many (?P<what>.+?) are there(?P<rest>.*)", r"what is the number of {what}{rest}"),
    (r"which (?P<what>.+)", r"what {what}"),
    (r"what (?:imaging )?modality (?P<what>.+)", r"which modality {what}"),
)
_IMAGE_WORD = re.compile(r"\b(?:image|picture)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Changed:
    """A question in one form, with its image."""

    question: Question
    picture: Picture


class Changer:
    """Puts the questions of one benchmark in other forms.

    Args:
        benchmark: the questions.
        seed: of noise and of the exchange of images.
    """

    def __init__(self, benchmark: Benchmark, *, seed: int = 0) -> None:
        self.benchmark = benchmark
        self.seed = seed

    def change(self, question: Question, form: str) -> Changed | None:
        """Return a question in a form of `FORMS`, None where there is no such form of it."""
        number = question.image
        if form in IMAGES:
            if number is None:
                return None
            return Changed(question, self._other(number, form, question.id))
        if form in PARAPHRASES:
            if not question.text:
                return None
            question = _reworded(question, paraphrase if form == PARAPHRASES[0] else look_first)
        if form in ORDERS:
            if not question.options:
                return None
            question = _reordered(question, reverse=form == ORDERS[0])
        return Changed(question, None if number is None else self.benchmark.split.image(number))

    def _other(self, number: int, form: str, name: str) -> Picture:
        """Return what takes the place of an image in the question of that name."""
        if form == "shuffled":
            return self.benchmark.split.image(self._others[number])
        width, height = image_size(self.benchmark.split.image(number))
        if form == "blank":
            return Image.new("RGB", (width, height), GREY)
        rng = np.random.default_rng([self.seed, *name.encode()])
        return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))

    @cached_property
    def _others(self) -> Mapping[int, int]:
        """By image another one that is asked about: the next one in a random ring."""
        shown = self.benchmark.split.image_index
        ring = sorted({int(shown[row]) for row in self.benchmark.rows if shown[row] >= 0})
        if len(ring) < 2:
            raise DataError(
                f"{self.benchmark.dataset.folder}: only one image, which cannot be exchanged for "
                "another; leave out the probe shuffled"
            )
        random.Random(self.seed).shuffle(ring)
        return dict(zip(ring, [*ring[1:], ring[0]], strict=True))


def _reworded(question: Question, reword: Callable[[str], str]) -> Question:
    text = reword(question.text)
    name = "question" if "question" in question.fields else "instruction"
    return replace(question, text=text, fields={**question.fields, name: text})


def _reordered(question: Question, *, reverse: bool) -> Question:
    options = question.options
    order = options[::-1] if reverse else (*options[1:], options[0])
    return replace(question, options=order, asked=replace(question.asked, choices=order))


def paraphrase(question: str) -> str:
    """Return a question in other words; where no rule fits, as a request.

    >>> paraphrase("Is there a fracture?")
    'can a fracture be seen?'
    """
    text = " ".join(question.split())
    plain = text.rstrip(" ?.")
    for pattern, wording in _REWORDINGS:
        if found := re.fullmatch(pattern, plain, re.IGNORECASE):
            return wording.format(**found.groupdict()) + "?"
    if _IMAGE_WORD.search(plain):
        return _IMAGE_WORD.sub("scan", text)
    return f"please answer: {text}"


def look_first(question: str) -> str:
    """Return a question that begins with a request to look.

    >>> look_first("Is there a fracture?")
    'looking at the image, is there a fracture?'
    """
    text = " ".join(question.split())
    head = text[:1].lower() if text[1:2].islower() or text[1:2] == " " else text[:1]
    return f"looking at the image, {head}{text[1:]}"
