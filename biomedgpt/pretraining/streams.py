"""What the model is asked to do in pretraining: one small class per kind of stream.

Instructions are those of the reference; see `biomedgpt.tasks.pretraining_instructions`.

S source length, T target length.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from biomedgpt.data.imaging.boxes import Box, check_inside, parse_box, parse_objects
from biomedgpt.data.imaging.images import decode_image, preprocess
from biomedgpt.data.prepared.codes import CodesFile, CodesInfo
from biomedgpt.data.prepared.dataset import PreparedDataset, PreparedSplit
from biomedgpt.data.rows import question_key
from biomedgpt.errors import ConfigError, DataError, VocabularyError
from biomedgpt.examples.example_encoder import Sample
from biomedgpt.loss import UNCONSTRAINED
from biomedgpt.pretraining import run_file
from biomedgpt.pretraining.masking import mask_words, split_words, word_starts
from biomedgpt.pretraining.run_file import PretrainingConfig
from biomedgpt.pretraining.views import augment_objects, augment_pair, augment_region
from biomedgpt.tasks import Captioning, Example, Task, Vqa, pretraining_instructions, row_kinds
from biomedgpt.tasks.base import plain
from biomedgpt.tasks.pretraining_instructions import Wording
from biomedgpt.vocabulary import Vocabulary

_DRAWS = 30
"""Most rows looked at for a negative."""
_TASKS: dict[str, Task] = {"captioning": Captioning(), "vqa": Vqa()}
"""Tasks of the pairs of image and text, with what the reference asks."""


@dataclass(frozen=True)
class Draft:
    """An example before it becomes tensors: ids without <s> and </s>."""

    source: Sequence[int]
    target: Sequence[int]
    image: Tensor | None
    confidence: float = 1.0


@dataclass(eq=False)
class Stream(ABC):
    """Examples of one kind, made of the rows of one or more datasets."""

    kind: ClassVar[str]
    datasets: ClassVar[tuple[str, ...]]
    """Tasks of datasets whose rows it can use."""
    codes: ClassVar[bool] = False
    """Whether its targets are image codes."""

    splits: Sequence[PreparedSplit]
    """The rows."""
    config: PretrainingConfig
    """Of the run."""
    vocabulary: Vocabulary
    """Of the model."""
    weight: float | None = None
    """Within the family, or None for the number of rows."""

    def __post_init__(self) -> None:
        self._ends = list(accumulate(self.rows_of(split) for split in self.splits))

    @property
    def family(self) -> str:
        """Family of streams that it belongs to."""
        return run_file.KINDS[self.kind]

    def rows_of(self, split: PreparedSplit) -> int:
        """Return how many examples a split gives."""
        return len(split)

    def __len__(self) -> int:
        return self._ends[-1]

    def sample(self, row: int, rng: np.random.Generator) -> Sample:
        """Return an example as tensors; it depends on the row and on what ``rng`` draws.

        The keys are those of `biomedgpt.examples.example_encoder.ExampleEncoder`, with ``code``
        (the target is image codes) and ``family``.

        Raises:
            DataError: the row cannot be used; the message names file and row.
        """
        split, number = self._find(row)
        try:
            draft = self.draft(split, number, rng)
        except (DataError, VocabularyError) as error:
            raise DataError(
                f"{self.locate(row)}: {error}; see `biomedgpt data check {split.folder}`"
            ) from error
        bos, eos = self.vocabulary.bos, self.vocabulary.eos
        target = list(draft.target)
        return {
            "example": {},
            "source": torch.tensor([bos, *draft.source, eos]),  # (S,)
            "prev_output_tokens": torch.tensor([bos, *target]),  # (T,)
            "target": torch.tensor([*target, eos]),  # (T,)
            "constraint_nodes": torch.full((len(target) + 1,), UNCONSTRAINED),  # (T,)
            "prefix": torch.zeros(0, dtype=torch.long),
            "confidence": draft.confidence,
            "image": draft.image,
            "code": self.codes,
            "family": self.family,
        }

    @abstractmethod
    def draft(self, split: PreparedSplit, row: int, rng: np.random.Generator) -> Draft:
        """Return the example made of one row of a split."""

    def locate(self, row: int) -> str:
        """Return file and row, counted from 1, for messages."""
        split, number = self._find(row)
        return split.locate(number)

    def _find(self, row: int) -> tuple[PreparedSplit, int]:
        part = bisect_right(self._ends, row)
        return self.splits[part], row - (self._ends[part - 1] if part else 0)

    # What several kinds need

    def wording(self, instruction: Wording) -> tuple[list[int], list[int], int]:
        """Return the ids before and after a text, and for how many between there is room."""
        encode = self.vocabulary.encode_text
        before, after = encode(" " + instruction.before), encode(instruction.after)
        return before, after, self.config.max_source_tokens - 2 - len(before) - len(after)

    def source(self, instruction: Wording, text: str = "") -> list[int]:
        """Return an instruction around a text, which is cut if the whole would be too long."""
        before, after, room = self.wording(instruction)
        middle = self.vocabulary.encode_text(" " + text) if text else []
        return [*before, *middle[: max(room, 0)], *after]

    def text_target(self, text: str) -> list[int]:
        """Return a text to write, cut to its limit."""
        return self.vocabulary.encode_text(" " + text)[: self.config.max_target_tokens]

    def image_number(self, split: PreparedSplit, row: int) -> int:
        """Return the number of the image of a row; DataError if it has none."""
        number = split.image_number(row)
        if number < 0:
            raise DataError(f"no image, which {self.kind} needs")
        return number

    def stored_image(self, split: PreparedSplit, row: int) -> Image:
        """Return the image of a row, decoded.

        Raises:
            DataError: the row has none, or it is damaged.
        """
        return decode_image(split.image(self.image_number(split, row)), where="image")

    def pixels(self, image: Image) -> Tensor:
        """Return an image as the model sees it, (3, size, size)."""
        return torch.from_numpy(preprocess(image, self.config.image_size))

    def image_of(self, split: PreparedSplit, row: int, rng: np.random.Generator) -> Tensor:
        """Return the image of a row that a text describes as a whole, (3, size, size)."""
        image = self.stored_image(split, row)
        if self.config.augment:
            image = augment_pair(image, rng)
        return self.pixels(image)

    def box_bins(self, box: Box, size: tuple[int, int]) -> list[int]:
        """Return the bins of a box in pixels of an image of ``size`` (width, height).

        They are fractions of the image, so resizing it to a square changes nothing.

        Raises:
            DataError: the box is empty or reaches out of the image.
        """
        check_inside(box, size, where="box")
        width, height = (side / self.config.bins_per_image for side in size)
        return self.vocabulary.encode_box(box, width=width, height=height)


def _example(split: PreparedSplit, row: int) -> Example:
    return {name: split.text(name, row) for name in split.fields}


class PairStream(Stream):
    """Write the text that goes with an image; in pretraining, the reference never prompts."""

    weighted: ClassVar[bool] = False
    """Whether the confidence of the text is its weight in the loss."""

    def draft(self, split: PreparedSplit, row: int, rng: np.random.Generator) -> Draft:
        """See `Stream.draft`."""
        example, task = _example(split, row), _TASKS[split.task]
        return Draft(
            self.source(Wording(task.instruction(example))),
            self.text_target(task.target(example)),
            self.image_of(split, row, rng),
            task.confidence(example) if self.weighted else 1.0,
        )


class CaptioningStream(PairStream):
    """Describe the image."""

    kind = "captioning"
    datasets = ("captioning",)


class VqaStream(PairStream):
    """Answer the question."""

    kind = "vqa"
    datasets = ("vqa",)
    weighted = True


class MatchingStream(Stream):
    """Say whether a caption or an answer fits the image; every other one is another row's."""

    kind = "matching"
    datasets = ("captioning", "vqa")

    def draft(self, split: PreparedSplit, row: int, rng: np.random.Generator) -> Draft:
        """See `Stream.draft`."""
        example, task = _example(split, row), _TASKS[split.task]
        text = task.target(example)
        accepted = {question_key(text)}
        accepted |= {question_key(one.answer) for one in task.references(example)}
        matches = bool(rng.random() < 0.5)
        if not matches:
            other = self._negative(split, accepted, rng, like=example)
            matches = other is None  # the data have no other text
            text = text if other is None else other
        instruction = pretraining_instructions.IMAGE_MATCHING
        if split.task == "vqa":
            before, after = pretraining_instructions.ANSWER_MATCHING
            instruction = Wording(before.format(question=task.instruction(example)), after)
        source = self.source(instruction, text)
        target = self.text_target("yes" if matches else "no")
        return Draft(source, target, self.image_of(split, row, rng))

    def _negative(
        self, split: PreparedSplit, accepted: set[str], rng: np.random.Generator, *, like: Example
    ) -> str | None:
        """Return the text of another row that is none of the accepted ones.

        An answer is one to a question of the same type, if the draws find such: "two" gives itself
        away as the answer to "is there a lesion?".
        """
        found = None
        for row in rng.integers(0, len(split), _DRAWS):
            if split.task == "captioning":
                text = _TASKS["captioning"].target(_example(split, row))
                fits = True
            else:
                text = split.text("answer", row)
                fits = split.text("question_type", row) == like["question_type"]
            if text.strip() and question_key(text) not in accepted:
                if fits:
                    return text
                found = found or text
        return found


class GroundingStream(Stream):
    """Find the region that a text describes."""

    kind = "grounding"
    datasets = ("grounding",)

    def draft(self, split: PreparedSplit, row: int, rng: np.random.Generator) -> Draft:
        """See `Stream.draft`."""
        phrase, box, image = self.region(split, row, rng)
        return Draft(self.source(pretraining_instructions.GROUNDING, phrase), box, image)

    def region(
        self, split: PreparedSplit, row: int, rng: np.random.Generator
    ) -> tuple[str, list[int], Tensor]:
        """Return phrase, bins of the box and image of a row."""
        image = self.stored_image(split, row)
        box = parse_box(split.text("box", row), where="box")
        if self.config.augment:
            check_inside(box, image.size, where="box")
            image, box = augment_region(image, box, rng)
        return split.text("phrase", row), self.box_bins(box, image.size), self.pixels(image)


class GroundedCaptioningStream(GroundingStream):
    """Describe a region."""

    kind = "grounded_captioning"

    def draft(self, split: PreparedSplit, row: int, rng: np.random.Generator) -> Draft:
        """See `Stream.draft`."""
        phrase, box, image = self.region(split, row, rng)
        source = [*self.source(pretraining_instructions.REGION_CAPTIONING), *box]
        return Draft(source, self.text_target(phrase), image)


class DetectionStream(Stream):
    """List the objects in the image, in random order: four bins and the label of each."""

    kind = "detection"
    datasets = ("detection",)

    def draft(self, split: PreparedSplit, row: int, rng: np.random.Generator) -> Draft:
        """See `Stream.draft`."""
        image = self.stored_image(split, row)
        objects = parse_objects(split.text("objects", row), where="objects")
        if self.config.augment:
            for one in objects:
                check_inside(one.box, image.size, where="box")
            image, objects = augment_objects(image, objects, rng)
        target: list[int] = []
        for number in rng.permutation(len(objects)):
            one = objects[number]
            ids = self.box_bins(one.box, image.size)
            ids += self.vocabulary.encode_text(" " + one.label)
            if len(target) + len(ids) > self.config.max_target_tokens:
                break
            target += ids
        source = self.source(pretraining_instructions.DETECTION)
        return Draft(source, target, self.pixels(image))


class MaskedLanguageStream(Stream):
    """Restore a text some words of which are masked.

    Of a text that is too long, a random stretch is taken.
    """

    kind = "mlm"
    datasets = ("text",)

    @cached_property
    def _starts(self) -> NDArray[np.bool_]:
        return word_starts(self.vocabulary)

    def draft(self, split: PreparedSplit, row: int, rng: np.random.Generator) -> Draft:
        """See `Stream.draft`."""
        before, after, room = self.wording(pretraining_instructions.MASKED_LANGUAGE)
        ids = self.vocabulary.encode_text(" " + plain(split.text("text", row)))
        words = self._stretch(split_words(ids, self._starts), room, rng)
        masked = mask_words(
            words,
            mask=self.vocabulary.mask,
            ratio=self.config.mask_ratio,
            span_length=self.config.span_length,
            rng=rng,
        )
        return Draft([*before, *masked, *after], [i for word in words for i in word], None)

    @staticmethod
    def _stretch(words: list[list[int]], room: int, rng: np.random.Generator) -> list[list[int]]:
        """Return a random run of words of at most ``room`` entries; all of them if they fit."""
        ends = np.cumsum([len(word) for word in words])
        if ends[-1] <= room:
            return words
        # The last start from which the rest of the text fills the room.
        latest = int(np.searchsorted(ends, ends[-1] - room))
        first = int(rng.integers(0, latest + 1))
        start = ends[first - 1] if first else 0
        stop = int(np.searchsorted(ends, start + room, side="right"))
        # A "word" of more than the room (a run without spaces) is cut.
        return words[first:stop] or [words[first][:room]]


class CodesStream(Stream):
    """Write image codes, which `biomedgpt vqgan encode` keeps beside the images.

    Attributes:
        whole: whether they are those of whole images, or else of their middles.
        info: tokenizer and sizes.
        grid: codes along one side of a target.
    """

    codes = True
    whole: ClassVar[bool]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._codes = {split.path: CodesFile(split) for split in self.splits}
        infos = {codes.info for codes in self._codes.values()}
        first, *others = (codes.path for codes in self._codes.values())
        if len({(info.tokenizer, self._grid(info)) for info in infos}) > 1:
            raise DataError(
                f"{others[-1]}: codes of another image tokenizer or grid than those of {first}; "
                "encode all datasets alike (biomedgpt vqgan encode)"
            )
        self.info: CodesInfo = next(iter(infos))
        self.grid = self._grid(self.info)
        if not self.grid:
            raise DataError(
                f"{first}: no codes of whole images, which {self.kind} needs; encode again with "
                "--whole-size"
            )
        self.vocabulary.require_codes(self.info.num_codes, str(first))

    def _grid(self, info: CodesInfo) -> int:
        return info.whole_grid if self.whole else info.middle_grid

    def codes_target(self, split: PreparedSplit, number: int) -> list[int]:
        """Return the ids of the codes of an image."""
        file = self._codes[split.path]
        codes = file.whole(number) if self.whole else file.middle(number)
        return self.vocabulary.encode_codes(codes)


class MaskedImageStream(CodesStream):
    """Write the codes of the middle of an image, which is blank. The rows are distinct images."""

    kind = "mim"
    datasets = tuple(name for name, fields in row_kinds().items() if fields.image)
    whole = False

    def rows_of(self, split: PreparedSplit) -> int:
        """Return the number of distinct images."""
        return split.num_images

    def locate(self, row: int) -> str:
        """Return file and image, counted from 1."""
        split, number = self._find(row)
        return f"{split.path}: image {number + 1}"

    def draft(self, split: PreparedSplit, row: int, rng: np.random.Generator) -> Draft:
        """See `Stream.draft`; ``row`` is the number of an image."""
        image = self.pixels(decode_image(split.image(row), where="image"))
        near, far = self.config.image_size // 4, self.config.image_size * 3 // 4
        image[:, near:far, near:far] = 0.0
        source = self.source(pretraining_instructions.INFILLING)
        return Draft(source, self.codes_target(split, row), image)


class ImageGenerationStream(CodesStream):
    """Write the codes of the whole image that a caption describes (OFA's text-to-image task)."""

    kind = "image_generation"
    datasets = ("captioning",)
    whole = True

    def draft(self, split: PreparedSplit, row: int, rng: np.random.Generator) -> Draft:
        """See `Stream.draft`."""
        target = self.codes_target(split, self.image_number(split, row))
        caption = " ".join(split.text("caption", row).split())  # as a user would type it
        source = self.source(pretraining_instructions.IMAGE_GENERATION, caption)
        return Draft(source, target, None)


STREAMS: dict[str, type[Stream]] = {
    stream.kind: stream
    for stream in (
        *(CaptioningStream, VqaStream, MatchingStream, GroundingStream, GroundedCaptioningStream),
        *(MaskedLanguageStream, MaskedImageStream, ImageGenerationStream, DetectionStream),
    )
}
"""By kind; the same as `biomedgpt.pretraining.run_file.KINDS`."""


def open_streams(config: PretrainingConfig, vocabulary: Vocabulary, split: str) -> list[Stream]:
    """Open all streams of a run that have rows in a split and a weight.

    Only images of the split ``train`` are augmented.

    Raises:
        ConfigError: no stream has such a split.
        DataError: a folder is no prepared dataset, or not of a kind that its stream can use.
    """
    options = replace(config, augment=config.augment and split == "train")
    streams = []
    for entry in config.streams:
        kind = STREAMS[entry.kind]
        if config.weights[run_file.KINDS[entry.kind]] == 0:
            continue
        splits = []
        for folder in entry.data:
            dataset = PreparedDataset(folder)
            where = f"{config.path}: streams.{entry.kind}.data: {folder}"
            if dataset.card.task not in kind.datasets:
                kinds = " or ".join(kind.datasets)
                raise DataError(f"{where} holds {dataset.card.task!r}, not {kinds}")
            if split in dataset.splits:
                splits.append(dataset.split(split))
            elif split == "train":
                raise DataError(f"{where} has no split train")
        if splits:
            streams.append(kind(splits, options, vocabulary, entry.weight))
    if not streams:
        raise ConfigError(f"{config.path}: no stream has a split {split}, or all weights are zero")
    return streams
