"""Answers of text and an image, as sequences of words and of the codes of our own VQ-GAN.

Releases such as MedMax bring image tokens of another model. The images are at hand, so that
``biomedgpt vqgan encode`` makes codes of ours for them, and these take the place of the mark::

    text  image_begin  code ... code  image_end  text        (see `Vocabulary.image_begin`)

Codes are tokens among others: they have the positions of the text that they stand in, as in the
model of MedMax, and not those of targets that are one image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from biomedgpt.errors import CheckpointError, DataError
from biomedgpt.tasks import Example, Instruction, Task
from biomedgpt.tasks.dialogue import IMAGE_MARK, IN_ANSWER
from biomedgpt.vocabulary import CodeSegment, Segment, TextSegment, Vocabulary

Codes = Sequence[int]
Part = str | tuple[int, ...]
"""Of an answer: a text, or the codes of an image."""
IMAGES = "images"
"""Where checkpoints hold the fields of `ImageCodes`."""


@dataclass(frozen=True)
class ImageCodes:
    """What fixes the images that a model writes within its answers.

    The names are those of the options of `biomedgpt.tasks.Instruction`.

    Attributes:
        image_grid: codes along one side of an image.
        image_codes: how many codes the image tokenizer knows.
        image_tokenizer: its fingerprint.
    """

    image_grid: int
    image_codes: int
    image_tokenizer: str

    @classmethod
    def of(cls, task: Task) -> Self | None:
        """Return those that a task has as options; None where answers are texts only."""
        if not isinstance(task, Instruction) or not task.image_grid:
            return None
        return cls(task.image_grid, task.image_codes, task.image_tokenizer)

    @classmethod
    def parse(cls, values: Any, *, where: str) -> Self:
        """Return what a checkpoint holds of them.

        Raises:
            CheckpointError: it is damaged.
        """
        try:
            found = cls(**values)
            if not (found.image_grid > 0 and found.image_codes > 0 and found.image_tokenizer):
                raise ValueError(values)
        except (TypeError, ValueError) as error:
            raise CheckpointError(
                f"{where}: what it says about images in answers is damaged; give another one"
            ) from error
        return found

    def options(self) -> dict[str, Any]:
        """Return them as options of the task."""
        return asdict(self)


def shows_image(example: Example) -> bool:
    """Say whether the answer of a row of instructions shows an image."""
    return example.get("image_in") == IN_ANSWER


def answer_segments(answer: str, codes: Codes) -> list[Segment]:
    """Return an answer that shows an image: text before it, its codes, text after it.

    Args:
        answer: the text, with `IMAGE_MARK` where the image is.
        codes: of the image.

    Returns:
        Segments for `encode_answer_segments`; texts begin with the space that they are encoded
        with, and are left out when empty.

    Raises:
        DataError: there is no mark.
    """
    before, mark, after = answer.partition(IMAGE_MARK)
    if not mark:
        raise DataError(
            f"the answer is to show an image, but has no {IMAGE_MARK}; prepare the dataset again"
        )
    texts = [TextSegment(f" {text.strip()}") if text.strip() else None for text in (before, after)]
    parts = (texts[0], CodeSegment(tuple(codes)), texts[1])
    return [part for part in parts if part is not None]


def encode_segments(
    vocabulary: Vocabulary, segments: Sequence[Segment], *, most_text: int
) -> tuple[list[int], bool]:
    """Return the ids of an answer, and whether its text was cut.

    Args:
        vocabulary: text and codes to ids.
        segments: see `answer_segments`.
        most_text: tokens of text that are kept; images stay whole.
    """
    ids: list[int] = []
    room, cut = most_text, False
    for segment in segments:
        part = vocabulary.encode([segment])
        if isinstance(segment, CodeSegment):
            ids += [vocabulary.image_begin, *part, vocabulary.image_end]
            continue
        ids += part[:room]
        cut = cut or len(part) > room
        room -= min(room, len(part))
    return ids, cut


def decode_parts(vocabulary: Vocabulary, ids: Iterable[int]) -> list[Part]:
    """Return texts and the codes of images in their order; ids of nothing else are skipped."""
    parts: list[Part] = []
    for segment in vocabulary.decode(ids):
        match segment:
            case TextSegment(text) if text.strip():
                parts.append(text.strip())
            case CodeSegment(codes):
                parts.append(codes)
    return parts


def marked_text(parts: Sequence[Part]) -> str:
    """Return the text of an answer with `IMAGE_MARK` in place of its images."""
    return " ".join(part if isinstance(part, str) else IMAGE_MARK for part in parts)


def codes_of(parts: Sequence[Part]) -> list[tuple[int, ...]]:
    """Return the codes of each image of an answer."""
    return [part for part in parts if not isinstance(part, str)]
