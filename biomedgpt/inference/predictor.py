"""A model to ask, with all that belongs to it.

import biomedgpt

model = biomedgpt.load("runs/vqa-rad")
print(model.answer("scan.png", "is there a fracture?"))
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biomedgpt.checkpoints.checkpoint import find_checkpoint, load_checkpoint
from biomedgpt.checkpoints.stored import Checkpoint
from biomedgpt.devices import choose_device
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.examples.segments import ImageCodes
from biomedgpt.inference.answer import Result
from biomedgpt.inference.batcher import Batcher
from biomedgpt.inference.beside import (
    IMAGE_TOKENIZER,
    find_tokenizer,
    fingerprint,
    with_calibration,
)
from biomedgpt.inference.document import Document, draw_parts
from biomedgpt.inference.engine import Engine
from biomedgpt.inference.queries import Interleaved, Query
from biomedgpt.inference.query_builder import (
    INSTRUCTION,
    ImageSource,
    QueryBuilder,
    Row,
    check_candidates,
)
from biomedgpt.tasks import Captioning, askable
from biomedgpt.tasks.skills import GROUNDING, IMAGE_GENERATION, REGION_CAPTIONING
from biomedgpt.vqgan.generation import FROM_TEXT, Drawing, generate_image
from biomedgpt.vqgan.pixels import to_image
from biomedgpt.vqgan.tokenizer import ImageTokenizer

Images = ImageSource | Sequence[ImageSource]
Texts = str | Sequence[str]

_CPU_BATCH = 8
_GPU_BATCH = 32
WINDOW = 8
"""Batches whose queries are sorted by length together."""


class Predictor:
    """Asks one model; made by `load`.

    Every method takes one input or a list, and returns a `Result` or a list of them in the same
    order. Where a method takes two inputs, one of them may be a list and the other be shared by all
    of its items. An image is a path, the bytes of a file, a Pillow image or an array of shape
    (H, W), (H, W, 3) or (H, W, 4); files may be DICOM.

    What makes no sense is a `DataError` or `ConfigError` of one line: an empty question, a file
    that is no image, fewer than two labels, a box outside its image.

    Args:
        checkpoint: what `biomedgpt.checkpoints.checkpoint.load_checkpoint` returns.
        device: where to compute.
        dtype: data type to compute in.
        image_tokenizer: folder of the VQ-GAN that makes pixels of image codes; also where to look
            for one at the first use.
        batch_size: most inputs answered at once.

    Attributes:
        vocabulary: of the model.
        device, dtype: where and in what data type it computes.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        dtype: torch.dtype,
        image_tokenizer: str | Path | None = None,
        batch_size: int | None = None,
    ) -> None:
        checkpoint.model.to(device, dtype).eval().requires_grad_(False)
        self.checkpoint = checkpoint
        self.vocabulary = checkpoint.vocabulary
        default = _CPU_BATCH if device.type == "cpu" else _GPU_BATCH
        self.engine = Engine(checkpoint, batch_size=batch_size or default)
        self.device, self.dtype = self.engine.device, self.engine.dtype
        self.query_builder = QueryBuilder(checkpoint)
        self._tokenizer_folder = image_tokenizer
        self._batcher: Batcher[Query, Result] | None = None

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Let many threads ask at once, for as long as the context lasts.

        What they ask at nearly the same time the model answers together. It computes in one thread,
        whoever asks.
        """
        engine = self.engine
        self._batcher = Batcher(engine.run, kind=engine.kind, size=engine.batch_size)
        try:
            yield
        finally:
            self._batcher.close()
            self._batcher = None

    def _run(self, queries: Sequence[Query]) -> list[Result]:
        return self._batcher.ask(queries) if self._batcher else self.engine.run(queries)

    @cached_property
    def weights(self) -> str:
        """Short hash of the weights, in the data type they compute in."""
        return fingerprint(self.checkpoint.model)

    # Questions

    def answer(
        self, image: Images, question: Texts, *, candidates: Sequence[str] | None = None
    ) -> Result | list[Result]:
        """Answer a question about an image.

        Args:
            image: one or several.
            question: one or several.
            candidates: answers to choose from; by default those the checkpoint was trained to
                choose from, and free text where it was not.
        """
        if self.checkpoint.info.task == INSTRUCTION and candidates is None:
            return self._all(INSTRUCTION, {"image": image, "instruction": question})
        return self._all("vqa", {"image": image, "question": question}, answers=candidates)

    def caption(self, image: Images) -> Result | list[Result]:
        """Describe an image."""
        return self._all("captioning", {"image": image})

    def classify(self, image: Images, labels: Sequence[str] | None = None) -> Result | list[Result]:
        """Say which of several labels an image has.

        Args:
            image: one or several.
            labels: names of the classes; by default those the checkpoint was trained with.
        """
        return self._all("classification", {"image": image}, answers=labels)

    def summarize(self, text: Texts) -> Result | list[Result]:
        """Summarize a text."""
        return self._all("summarization", {"source": text})

    def entails(self, premise: Texts, hypothesis: Texts) -> Result | list[Result]:
        """Say whether the second text follows from the first: yes, no (it is contradicted), maybe.

        A checkpoint that was trained with other answers gives these.
        """
        return self._all("entailment", {"sentence1": premise, "sentence2": hypothesis})

    def choose(
        self,
        question: Texts,
        options: Sequence[str] | Sequence[Sequence[str]],
        *,
        context: Texts | None = None,
        image: Images | None = None,
    ) -> Result | list[Result]:
        """Choose one of several answers.

        Args:
            question: one or several.
            options: the answers, or such a list for each question.
            context: a text to answer from.
            image: an image to answer from, instead of a text.
        """
        if image is not None and context is not None:
            raise ConfigError("a question is about an image or a text; give one of the two")
        columns: dict[str, Any] = {"question": question}
        if image is None:
            columns["context"] = "" if context is None else context
        else:
            columns["image"] = image
        rows, single = _rows(columns)
        columns["options"] = _as_one("options", options)
        if not (single or isinstance(columns["options"], _Whole) or len(rows) == len(options)):
            raise ConfigError(
                f"{len(options)} lists of options for {len(rows)} questions; give as many"
            )
        if image is None:
            return self._all("question_answering", columns)
        rows, single = _rows(columns)
        queries = [
            self.query_builder.query(
                "vqa", row, answers=check_candidates(row["options"]), where=_where(number, single)
            )
            for number, row in enumerate(rows, 1)
        ]
        results = self._run(queries)
        return results[0] if single else results

    def ask(
        self, task: str, *, answers: Sequence[str] | None = None, **fields: Any
    ) -> Result | list[Result]:
        """Ask for any task by its name, those of one's own included.

        Args:
            task: a name of `biomedgpt.tasks.TASKS`, ``grounding`` or ``region_captioning``.
            answers: candidates; by default those of the checkpoint, where the task has some.
            fields: ``image``, ``frame`` and the task's fields by name, one value or a list
                each. The four numbers of a ``box`` and a list of ``options`` are one value.

        Raises:
            ConfigError: no such task or field.
        """
        known = askable()
        if task in known:
            names = ("image", "frame", *known[task].all)
            if unknown := [name for name in fields if name not in names]:
                raise ConfigError(f"{task} has no field {unknown[0]!r}; it has {', '.join(names)}")
        columns = {name: _as_one(name, value) for name, value in fields.items()}
        return self._all(task, columns, answers=answers)

    # Regions

    def ground(self, image: Images, phrase: Texts) -> Result | list[Result]:
        """Find the region that a text describes; it is in `Result.boxes`."""
        return self._all(GROUNDING, {"image": image, "phrase": phrase})

    def describe_region(
        self, image: Images, box: Sequence[float] | Sequence[Sequence[float]]
    ) -> Result | list[Result]:
        """Describe what is in a box, (x0, y0, x1, y1) in pixels of the image."""
        return self.ask(REGION_CAPTIONING, image=image, box=box)

    # Images

    def generate_image(
        self, text: Texts, *, drawing: Drawing | None = None
    ) -> Result | list[Result]:
        """Draw what a text describes; the picture is in `Result.image`.

        Args:
            text: one or several.
            drawing: how image codes are chosen; by default drawn from the 50 most probable.

        Raises:
            ConfigError: there is no image tokenizer.
        """
        rows, single = _rows({"text": text})
        for row in rows:
            if not row["text"].strip():
                raise DataError("empty text; say what the image shows")
        warnings = self.query_builder.ability(IMAGE_GENERATION)
        tokenizer = self._image_tokenizer

        def draw(text: str) -> Result:
            model = self.checkpoint.model
            images = generate_image(model, self.vocabulary, tokenizer, text, drawing=drawing)
            return Result(text="", image=to_image(images[0]), warnings=warnings)

        texts = [" ".join(row["text"].split()) for row in rows]
        work = [partial(draw, text) for text in texts]
        results = [self._batcher.alone(one) if self._batcher else one() for one in work]
        return results[0] if single else results

    def document(
        self, instruction: Texts, image: Images | None = None, *, drawing: Drawing | None = None
    ) -> Document | list[Document]:
        """Answer an instruction with text and, where it asks for one, a generated image.

        Args:
            instruction: one or several.
            image: one that they are about, or one for each.
            drawing: how image codes are chosen; by default drawn from the 50 most probable.

        Raises:
            ConfigError: the model was not trained on such answers, or there is no image tokenizer,
                or another one than the model was trained with.
        """
        images = ImageCodes.of(self.query_builder.task(INSTRUCTION))
        if images is None:
            raise ConfigError(
                "the checkpoint was not trained on answers that show images; ask it with answer or "
                "generate_image, or tune it on such instructions"
            )
        drawing = drawing or FROM_TEXT
        if drawing.samples != 1:
            raise ConfigError(f"samples {drawing.samples}: a document has one answer; give 1")
        tokenizer = self._image_tokenizer
        if tokenizer.fingerprint != images.image_tokenizer:
            raise ConfigError(
                f"the image tokenizer {self._tokenizer_folder} is not the one that the model was "
                "trained with; give that one as image_tokenizer"
            )
        columns = {"instruction": instruction} | ({} if image is None else {"image": image})
        rows, single = _rows(columns)
        queries = []
        for number, row in enumerate(rows, 1):
            query = self.query_builder.query(INSTRUCTION, row, where=_where(number, single))
            assert isinstance(query.output, Interleaved)
            output = replace(query.output, image=drawing.within(images))
            queries.append(replace(query, output=output))
        documents = [
            Document(
                instruction=" ".join(row["instruction"].split()),
                parts=draw_parts(result.parts, tokenizer, grid=images.image_grid),
                warnings=result.warnings,
            )
            for row, result in zip(rows, self._run(queries), strict=True)
        ]
        return documents[0] if single else documents

    def encode_image(self, image: Images) -> Tensor:
        """Return what the encoder makes of an image: the mean over its patches, float32, (C).

        The image is read together with the instruction of captioning. Several images give (N, C).
        """
        rows, single = _rows({"image": image})
        queries = [
            self.query_builder.query(Captioning.name, row, where=_where(number, single))
            for number, row in enumerate(rows, 1)
        ]
        found = self.engine.embed(queries)
        return found[0] if single else found

    # All alike

    def predict(
        self, task: str, rows: Iterable[Row], *, answers: Sequence[str] | None = None
    ) -> Iterator[Result]:
        """Answer many questions of one task, in their order.

        Rows are read as they are needed, some batches at a time.

        Args:
            task: a name of `biomedgpt.tasks.TASKS`, ``grounding`` or ``region_captioning``.
            rows: the task's fields by name, and ``image``.
            answers: candidates for all rows.
        """
        numbered = enumerate(rows, 1)
        while window := list(islice(numbered, WINDOW * self.engine.batch_size)):
            yield from self._run(
                [
                    self.query_builder.query(task, row, answers=answers, where=f"input {number}")
                    for number, row in window
                ]
            )

    def _all(
        self, task: str, columns: Mapping[str, Any], *, answers: Sequence[str] | None = None
    ) -> Result | list[Result]:
        rows, single = _rows(columns)
        if single:
            return self._run([self.query_builder.query(task, rows[0], answers=answers)])[0]
        return list(self.predict(task, rows, answers=answers))

    @cached_property
    def _image_tokenizer(self) -> ImageTokenizer:
        """What makes pixels of image codes; ConfigError where there is none."""
        if self._tokenizer_folder is None:
            raise ConfigError(
                "drawing needs the image tokenizer that the model was trained with; give its "
                f"folder as image_tokenizer, or lay it beside the checkpoint as {IMAGE_TOKENIZER}"
            )
        return ImageTokenizer.load(self._tokenizer_folder).to(self.device)


def load(
    source: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    vocabulary: str | Path | None = None,
    image_tokenizer: str | Path | None = None,
    batch_size: int | None = None,
) -> Predictor:
    """Load a model to ask.

    Args:
        source: folder or file of a checkpoint, or the name of one that was fetched.
        device: where to compute; by default a GPU, if there is one.
        dtype: data type to compute in; by default bfloat16 on GPUs that have it, else float32.
        vocabulary: folder of the vocabulary, where none lies beside the weights.
        image_tokenizer: folder of the VQ-GAN for `Predictor.generate_image` and
            `Predictor.document`; by default the folder ``image_tokenizer`` beside the checkpoint.
        batch_size: most inputs answered at once; by default 8 on a CPU, 32 elsewhere.

    Raises:
        CheckpointError, VocabularyError: the checkpoint cannot be used.
        ConfigError: the device or the data type cannot be used.
    """
    where = choose_device(device)
    kind = choose_dtype(dtype, where)
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
    path = find_checkpoint(source)
    predictor = Predictor(
        with_calibration(load_checkpoint(path, vocabulary=vocabulary), path),
        device=where,
        dtype=kind,
        image_tokenizer=image_tokenizer or find_tokenizer(path),
        batch_size=batch_size,
    )
    if image_tokenizer is not None:
        _ = predictor._image_tokenizer  # what was named must be there
    return predictor


def choose_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """Return the data type asked for, or the best one of a device."""
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype is None:
        half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if half else torch.float32
    chosen = known.get(dtype) if isinstance(dtype, str) else dtype
    if chosen not in known.values():
        raise ConfigError(f"dtype {dtype} is unknown; give one of {', '.join(known)}")
    assert chosen is not None
    return chosen


class _Whole(tuple[Any, ...]):
    """A sequence that is one input, not a list of them."""


def _as_one(name: str, value: Any) -> Any:
    """Return the corners of a box, or the options of a question, as one input."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        return value
    if name == "box" and len(value) and isinstance(value[0], int | float | np.number):
        return _Whole(float(corner) for corner in value)
    if name == "options" and all(isinstance(option, str) for option in value):
        return _Whole(value)
    return value


def _rows(columns: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """Return one row for each input, and whether there was just one that was no list.

    Raises:
        ConfigError: lists of different lengths.
    """
    lists = {
        name: value
        for name, value in columns.items()
        if isinstance(value, Sequence) and not isinstance(value, str | bytes | _Whole)
    }
    lengths = {name: len(value) for name, value in lists.items()}
    if len(set(lengths.values())) > 1:
        counts = " and ".join(f"{count} of {name}" for name, count in lengths.items())
        raise ConfigError(f"lists of different lengths, {counts}; give one of each per question")
    count = next(iter(lengths.values()), 1)
    rows = [
        {name: lists[name][row] if name in lists else value for name, value in columns.items()}
        for row in range(count)
    ]
    return rows, not lists


def _where(number: int, single: bool) -> str:
    return "" if single else f"input {number}"
