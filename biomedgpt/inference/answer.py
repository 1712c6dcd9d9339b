"""What a model answered."""

from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from biomedgpt.data.imaging.boxes import Box
from biomedgpt.examples.segments import Part, codes_of


@dataclass(frozen=True)
class Alternative:
    """Another answer and its probability."""

    text: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """One answer.

    Attributes:
        text: the answer; of a region, its box in pixels.
        score: log-probability as the generation ranks by it: of a candidate answer, or where the
            decoding is unnormalised, the total; else the mean per token, length penalty included.
            None for an image.
        probability: of the whole answer. Where the answer is one of several candidates, they share
            a probability of one. None for an image.
        calibrated: whether `probability` was corrected by a temperature that was fitted on
            validation data (``biomedgpt calibrate``).
        alternatives: other answers, the most probable ones first.
        boxes: (x0, y0, x1, y1) in pixels of the given image.
        image: of `Predictor.generate_image`.
        parts: of an answer by a model that may draw: texts and, where `text` has a mark, the codes
            of an image; see `Predictor.document`.
        warnings: what is odd about the answer, one sentence each.
    """

    text: str
    score: float | None = None
    probability: float | None = None
    calibrated: bool = False
    alternatives: tuple[Alternative, ...] = ()
    boxes: tuple[Box, ...] = ()
    image: Image.Image | None = None
    parts: tuple[Part, ...] = ()
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the image as values of JSON; codes only where there are some."""
        codes = codes_of(self.parts)
        values = {
            "text": self.text,
            "score": self.score,
            "probability": self.probability,
            "calibrated": self.calibrated,
            "alternatives": [asdict(one) for one in self.alternatives],
            "boxes": [list(box) for box in self.boxes],
            "warnings": list(self.warnings),
        }
        return values | ({"codes": [list(one) for one in codes]} if codes else {})
