"""What a probe changes: the image, the wording of the question, the order of its options."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

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
        self._changes: Mapping[str, Callable[[Question], Changed]] = {
            REAL: self._real,
            "blank": self._blank,
            "noise": self._noise,
            "shuffled": self._shuffled,
            PARAPHRASES[0]: partial(self._reworded, reword=paraphrase),
            PARAPHRASES[1]: partial(self._reworded, reword=look_first),
            ORDERS[0]: partial(self._reordered, reverse=True),
            ORDERS[1]: partial(self._reordered, reverse=False),
        }

    def change(self, question: Question, form: str) -> Changed | None:
        """Return a question in a form of `FORMS`, None where there is no such form of it."""
        if form in IMAGES and question.image is None:
            return None
        if form in ORDERS and not question.options:
            return None
        if form in PARAPHRASES and not question.text:
            return None
        return self._changes[form](question)

    def _real(self, question: Question) -> Changed:
        picture = None if question.image is None else self.benchmark.image(question.image)
        return Changed(question, picture)

    def _blank(self, question: Question) -> Changed:
        return Changed(question, Image.new("RGB", self._size(question), GREY))

    def _noise(self, question: Question) -> Changed:
        width, height = self._size(question)
        rng = np.random.default_rng([self.seed, *question.id.encode()])
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Changed(question, Image.fromarray(pixels))

    def _shuffled(self, question: Question) -> Changed:
        assert question.image is not None
        return Changed(question, self.benchmark.image(self._others[question.image]))

    def _size(self, question: Question) -> tuple[int, int]:
        assert question.image is not None
        return image_size(self.benchmark.image(question.image))

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

    def _reworded(self, question: Question, *, reword: Callable[[str], str]) -> Changed:
        text = reword(question.text)
        name = "question" if "question" in question.fields else "instruction"
        fields = {**question.fields, name: text}
        return self._real(replace(question, text=text, fields=fields))

    def _reordered(self, question: Question, *, reverse: bool) -> Changed:
        options = question.options
        order = options[::-1] if reverse else (*options[1:], options[0])
        asked = replace(question.asked, choices=order)
        return self._real(replace(question, options=order, asked=asked))


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
