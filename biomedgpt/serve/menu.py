"""What can be asked on the page: the page's entries of all tasks, and how the model is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from biomedgpt.data.imaging.boxes import Box
from biomedgpt.errors import DataError
from biomedgpt.tasks import SKILLS, TASKS, PageEntry, PageField, TaskFields
from biomedgpt.tasks.page_entry import CANDIDATES
from biomedgpt.tasks.skills import IMAGE_GENERATION

if TYPE_CHECKING:  # torch takes seconds to import
    from biomedgpt.inference import Predictor, Result

MAX_CHARACTERS = 20_000
"""Longest text of one field."""
MAX_CHOICES = 1_000
"""Most labels or options."""
CHOICES = (CANDIDATES, "options")
"""Fields that hold a text per line."""


@dataclass(frozen=True, kw_only=True)
class PageQuestion:
    """What was on the page when somebody asked; an image that the task does not use is ignored."""

    image: Image.Image | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    """By name of the field."""
    box: Box | None = None


@dataclass(frozen=True, kw_only=True)
class PageTask:
    """One entry of the list of tasks.

    Attributes:
        name: of the task or skill.
        fields: what it needs.
        entry: how the page asks for it.
    """

    name: str
    fields: TaskFields
    entry: PageEntry

    @property
    def image(self) -> Literal["required", "optional", "none"]:
        """Whether it needs an image, may have one or has none."""
        if self.entry.with_image or self.fields.image_optional:
            return "optional"
        return "required" if self.fields.image else "none"

    def check(self, question: PageQuestion) -> None:
        """Raise a DataError that says what is missing or too much."""
        if self.image == "required" and question.image is None:
            raise DataError("There is no image yet; drop one, or take an example.")
        for name, one in self.entry.fields.items():
            text = question.texts.get(name, "")
            if name in CHOICES:
                _check_choices(split_lines(text), one)
            else:
                _check_text(text, one)
        if self.entry.box and question.box is None:
            raise DataError("The box is not complete; give all four of its edges.")

    def ask(self, model: "Predictor", question: PageQuestion) -> "Result | list[Result]":
        """Put the question to the model."""
        texts = {name: question.texts.get(name, "") for name in self.entry.fields}
        if self.name == IMAGE_GENERATION:
            return model.generate_image(texts["text"])
        choices = {name: list(split_lines(texts.pop(name))) for name in CHOICES if name in texts}
        if self.entry.with_image and question.image is not None:
            other = self.entry.with_image
            fields = {name: text for name, text in texts.items() if name in TASKS[other].fields.all}
            return model.ask(other, answers=choices["options"], image=question.image, **fields)
        row: dict[str, Any] = dict(texts)
        if question.image is not None and self.image != "none":
            row["image"] = question.image
        if question.box is not None and self.entry.box:
            row["box"] = question.box
        if "options" in choices:
            row["options"] = choices["options"]
        return model.ask(self.name, answers=choices.get(CANDIDATES), **row)


def _check_text(text: str, one: PageField) -> None:
    if one.required and not text.strip():
        example = f"; type something like: {one.placeholder}" if one.placeholder else ""
        raise DataError(f"{one.label} is empty{example}")
    if len(text) > MAX_CHARACTERS:
        raise DataError(
            f"{one.label} has {len(text):,} characters; give at most {MAX_CHARACTERS:,}"
        )


def _check_choices(choices: tuple[str, ...], one: PageField) -> None:
    if len(choices) < 2:
        raise DataError(f"{one.label}: give at least two, each on a line of its own.")
    if len(choices) > MAX_CHOICES:
        raise DataError(f"{one.label}: {len(choices):,} are too many; give at most {MAX_CHOICES:,}")


def split_lines(text: str) -> tuple[str, ...]:
    """Return the lines of a field that are not empty, without those that come again."""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def page_tasks() -> tuple[PageTask, ...]:
    """Return all tasks of the page: those that any model may try, then those of specialists."""
    known = [
        PageTask(name=name, fields=task.fields, entry=task.page_entry())
        for name, task in TASKS.items()
    ]
    known += [
        PageTask(name=name, fields=skill.fields, entry=skill.page) for name, skill in SKILLS.items()
    ]
    return tuple(sorted(known, key=lambda task: task.entry.specialist))


@dataclass(frozen=True)
class Menu:
    """The tasks a model can be asked for.

    Attributes:
        first: those it was trained for; all, where that is not known (a pretrained model).
        others: the rest, which it may answer badly.
    """

    first: tuple[PageTask, ...]
    others: tuple[PageTask, ...]

    @classmethod
    def of(cls, trained: str | None, *, draws: bool) -> "Menu":
        """Return the menu of a model.

        Args:
            trained: name of the task it was trained for, None where that is not known.
            draws: whether it has an image tokenizer.
        """
        tasks = [
            task
            for task in page_tasks()
            if task.name == trained
            or not (task.entry.specialist or (task.name == IMAGE_GENERATION and not draws))
        ]
        first = tuple(task for task in tasks if task.name == trained)
        others = tuple(task for task in tasks if task.name != trained)
        return cls(first, others) if first else cls(others, ())

    @property
    def most_texts(self) -> int:
        """Most text fields that any of the tasks has."""
        return max(len(task.entry.fields) for task in (*self.first, *self.others))

    def find(self, title: str) -> PageTask:
        """Return the task of a title."""
        for task in (*self.first, *self.others):
            if task.entry.title == title:
                return task
        raise DataError("There is no such task; choose one of the list.")
