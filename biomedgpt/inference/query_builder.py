"""From what somebody asks to what the model reads, by the definitions of the tasks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from biomedgpt.checkpoints.stored import Checkpoint
from biomedgpt.data.imaging.boxes import as_box, check_inside
from biomedgpt.data.imaging.images import open_image, preprocess
from biomedgpt.data.rows import clean_text
from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError, DataError
from biomedgpt.examples.example_encoder import ExampleEncoder
from biomedgpt.examples.segments import ImageCodes
from biomedgpt.files import parse_json
from biomedgpt.inference.queries import Choice, FreeText, Interleaved, Output, Query, Region
from biomedgpt.tasks import (
    Captioning,
    Example,
    Instruction,
    Task,
    askable,
    get_task,
    pretraining_instructions,
)
from biomedgpt.tasks.answer_options import LETTERS
from biomedgpt.tasks.base import plain
from biomedgpt.tasks.skills import GROUNDING, IMAGE_GENERATION, REGION_CAPTIONING
from biomedgpt.vqgan.generation import FROM_TEXT

ImageSource = str | Path | bytes | NDArray[Any] | Image.Image
Row = Mapping[str, Any]
"""Fields of a task by name; ``image`` is an `ImageSource`, ``frame`` a number where a file has
several images."""

INSTRUCTION = Instruction.name
_GENERAL = (None, INSTRUCTION)
"""What checkpoints were trained for that may be asked anything."""


class QueryBuilder:
    """Makes queries for one checkpoint.

    Args:
        checkpoint: the model with its vocabulary and preprocessing.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.info = checkpoint.info
        self.vocabulary = checkpoint.vocabulary
        self.max_positions = checkpoint.model.config.max_positions

    def task(self, name: str) -> Task:
        """Return a task as the checkpoint was trained for it, else with its defaults.

        In pretraining and instruction tuning the decoder is not given the question again.
        """
        task = get_task(name)
        if name == self.info.task:
            return task.with_(**self.info.task_options)
        return task.with_(prompt_type="none") if self.info.task in _GENERAL else task

    def decoding(self, name: str) -> GenerationConfig:
        """Return how a task is decoded: as the checkpoint says of its own, else by default."""
        own = self.info.decoding if name == self.info.task else None
        return own or self.task(name).decoding

    def query(
        self, name: str, row: Row, *, answers: Sequence[str] | None = None, where: str = ""
    ) -> Query:
        """Return the query of one question.

        Args:
            name: what is asked, one of `biomedgpt.tasks.askable`, but no image to draw.
            row: its fields; those that may be empty may be missing.
            answers: candidates; by default those of the checkpoint, where the task has some.
            where: what to call the question in an error message (file and row).

        Raises:
            ConfigError: there is no such task, or the candidates make no sense.
            DataError: a text is missing or empty, the image is missing or cannot be used, a box
                is not inside it.
        """
        prefix = f"{where}: " if where else ""
        known = askable()
        if name not in known or name == IMAGE_GENERATION:
            listed = ", ".join(sorted(known.keys() - {IMAGE_GENERATION}))
            raise ConfigError(f"unknown task {name!r}; choose one of {listed}")
        fields = known[name]
        for field in fields.source:
            if field not in fields.optional and not str(row.get(field) or "").strip():
                raise DataError(f"{prefix}empty {field}; {name} needs one")
        image: ImageSource | None = row.get("image")
        picture = None
        if image is not None:
            if not fields.image:
                raise DataError(f"{prefix}an image, but {name} reads text only; leave it out")
            picture = open_image(image, where=where, frame=row.get("frame"))
        elif fields.image and not fields.image_optional:
            raise DataError(f"{prefix}no image; {name} needs one")
        if name not in (GROUNDING, REGION_CAPTIONING):
            return self._ask(name, row, picture, answers, prefix)
        assert picture is not None  # both are about one
        if name == GROUNDING:
            phrase = clean_text(str(row["phrase"]))
            source = self.encode(pretraining_instructions.GROUNDING.around(phrase), prefix)
            return self._plain(source, picture, Region(), GROUNDING)
        return self._describe(row["box"], picture, where=where or "box")

    def pixels(self, image: Image.Image) -> Tensor:
        """Return an image as the model reads it, (3, size, size)."""
        settings = self.checkpoint.preprocessing
        return torch.from_numpy(preprocess(image, settings.image_size, settings.normalization))

    def ability(self, name: str) -> tuple[str, ...]:
        """Return a warning where the checkpoint was trained for something else, or nobody knows."""
        trained = self.info.task
        doubt = (self.info.doubt,) if self.info.doubt else ()
        if trained == name or trained in _GENERAL:
            return doubt
        return (*doubt, f"the checkpoint was trained for {trained}, not for {name}")

    def encode(self, instruction: str, prefix: str, after: Sequence[int] = ()) -> list[int]:
        """Return ``<s> instruction after </s>``; DataError when it is too long."""
        ids = [*self.vocabulary.encode_text(f" {instruction}"), *after]
        if len(ids) > self.max_positions - 2:
            raise DataError(
                f"{prefix}the text has {len(ids)} tokens, the model reads "
                f"{self.max_positions - 2}; give a shorter one"
            )
        return [self.vocabulary.bos, *ids, self.vocabulary.eos]

    # Tasks that have datasets

    def _ask(
        self,
        name: str,
        row: Row,
        image: Image.Image | None,
        answers: Sequence[str] | None,
        prefix: str,
    ) -> Query:
        task = self.task(name)
        texts = {field: _text(row.get(field)) for field in task.fields.all}
        example: Example = {"id": prefix.removesuffix(": ") or "the question"} | texts
        output, example = self._output(task, example, answers, prefix)
        encoder = ExampleEncoder(
            self.vocabulary,
            task,
            image_size=self.checkpoint.preprocessing.image_size,
            max_source_tokens=self.max_positions,
        )
        source = encoder.encode_source(example)
        warnings = self.ability(name)
        if task.is_cut(example):
            warnings += (f"only the first {task.max_source_words} words of the text were read",)
        elif len(source) == encoder.max_source_tokens:
            warnings += (f"only the first {len(source) - 2} tokens of the text were read",)
        return Query(
            source=source,
            prompt=encoder.prompt(source),
            output=output,
            clean=task.answer,
            pixels=None if image is None else self.pixels(image),
            size=None if image is None else image.size,
            warnings=warnings,
        )

    def _output(
        self, task: Task, example: Example, answers: Sequence[str] | None, prefix: str
    ) -> tuple[Output, Example]:
        """Return what may come out, and the example as it is asked."""
        trained = task.name == self.info.task
        decoding = self.decoding(task.name)
        own = self.info.answers if trained else ()
        temperature = self.info.calibration.get("temperature") if trained else None
        if example.get("options"):
            options = _options(example["options"], prefix)
            chosen = tuple(LETTERS[: len(options)])
            if set(options) <= set(own) and not set(own) <= set(LETTERS):
                # Answers that the checkpoint knows by their names, such as yes and no.
                chosen, example = options, {**example, "options": ""}
            return Choice(answers=chosen, shown=options, temperature=temperature), example
        if answers is not None:
            known = {plain(one): one for one in own}
            shown = check_candidates(answers, prefix)
            chosen = tuple(known.get(plain(one), plain(one)) for one in shown)
            if set(chosen) != set(own):
                temperature = None
            return Choice(answers=chosen, shown=shown, temperature=temperature), example
        own = own or task.default_answers
        images = ImageCodes.of(task)
        if images is not None:
            return Interleaved(decoding=decoding, image=FROM_TEXT.within(images)), example
        closed = task.fields.closed
        if task.constrained and closed and not own:
            raise ConfigError(
                f"{task.name} chooses between answers, and this checkpoint brings none; give "
                "them (labels, options or --answers)"
            )
        if not (task.constrained and own):
            return FreeText(decoding=decoding), example
        search = None if closed else replace(decoding, no_repeat_ngram_size=0)
        return Choice(answers=own, shown=own, search=search, temperature=temperature), example

    # Regions

    def _describe(self, box: Any, image: Image.Image, *, where: str) -> Query:
        corners = as_box(_parse_box(box), where=where)
        check_inside(corners, image.size, where=where)
        width, height = self.checkpoint.preprocessing.reach(image.size)
        bins = self.vocabulary.encode_box(corners, width=width, height=height)
        before = pretraining_instructions.REGION_CAPTIONING.before
        source = self.encode(before, f"{where}: ", bins)
        output = FreeText(decoding=Captioning.decoding)
        return self._plain(source, image, output, REGION_CAPTIONING)

    def _plain(
        self, source: Sequence[int], image: Image.Image, output: Output, skill: str
    ) -> Query:
        """Return a query whose answer begins with nothing."""
        return Query(
            source=source,
            prompt=[self.vocabulary.bos],
            output=output,
            clean=str.strip,
            pixels=self.pixels(image),
            size=image.size,
            warnings=self.ability(skill),
        )


def check_candidates(answers: Sequence[str], prefix: str = "") -> tuple[str, ...]:
    """Return candidate answers without white space around them.

    Raises:
        DataError: fewer than two, an empty one, or one that is given twice.
    """
    if isinstance(answers, str) or not all(isinstance(one, str) for one in answers):
        raise DataError(f"{prefix}candidate answers must be a list of texts")
    candidates = tuple(clean_text(one) for one in answers)
    if len(candidates) < 2:
        raise DataError(f"{prefix}candidate answers must be two or more, not {len(candidates)}")
    seen: set[str] = set()
    for one in candidates:
        if not one:
            raise DataError(f"{prefix}a candidate answer is empty; leave it out")
        if plain(one) in seen:
            raise DataError(f"{prefix}candidate answer {one!r} is given twice; leave one out")
        seen.add(plain(one))
    return candidates


def _options(text: str, prefix: str) -> tuple[str, ...]:
    """Return the options of a question, which prepared rows hold as JSON."""
    options = parse_json(text)
    if not isinstance(options, list):
        raise DataError(f"{prefix}options are not a list of texts")
    if len(options) > len(LETTERS):
        raise DataError(f"{prefix}{len(options)} options; a question has at most {len(LETTERS)}")
    return check_candidates(options, prefix)


def _text(value: Any) -> str:
    """Return a field as prepared datasets hold it: a list as JSON."""
    if isinstance(value, list | tuple):
        return json.dumps(list(value), ensure_ascii=False)
    return "" if value is None else clean_text(str(value))


def _parse_box(box: Any) -> Any:
    """Return a box from a table as numbers: JSON, or four numbers with commas."""
    if not isinstance(box, str):
        return box
    try:
        return [float(part) for part in box.strip(" []()").split(",")]
    except ValueError:
        return box
