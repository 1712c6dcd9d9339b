"""What can be asked on the page: what each task needs, and how the model is asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from PIL import Image

from biomedgpt.data.boxes import Box
from biomedgpt.errors import DataError

if TYPE_CHECKING:  # torch takes seconds to import
    from biomedgpt.inference import Predictor, Result

MAX_CHARACTERS = 20_000
"""Longest text of one field."""
MAX_CHOICES = 1_000
"""Most labels or options."""

FieldName = Literal["text", "second", "context", "choices"]


@dataclass(frozen=True)
class Field:
    """A text field of a task: what is above it, an example in it, and whether it may be empty."""

    label: str
    placeholder: str
    required: bool = True
    lines: int = 1


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was on the page when somebody asked; what the task does not use is ignored."""

    image: Image.Image | None = None
    text: str = ""
    second: str = ""
    context: str = ""
    choices: tuple[str, ...] = ()
    box: Box | None = None


@dataclass(frozen=True, kw_only=True)
class PageTask:
    """One entry of the list of tasks.

    Attributes:
        name: a name of `biomedgpt.tasks.TASKS` where checkpoints are trained for it.
        title: what the list says.
        image: whether it needs an image, may have one or has none.
        fields: its text fields.
        box: whether it needs a box in the image.
        specialist: whether only a checkpoint that was trained for it can answer it.
        ask: puts the question to the model.
    """

    name: str
    title: str
    image: Literal["required", "optional", "none"]
    fields: Mapping[FieldName, Field] = field(default_factory=dict)
    box: bool = False
    specialist: bool = False
    ask: "Callable[[Predictor, Asked], Result | list[Result]]"

    def check(self, asked: Asked) -> None:
        """Raise a DataError that says what is missing or too much."""
        if self.image == "required" and asked.image is None:
            raise DataError("There is no image yet; drop one, or take an example.")
        for name, one in self.fields.items():
            if name == "choices":
                _check_choices(asked.choices, one)
            else:
                _check_text(getattr(asked, name), one)
        if self.box and asked.box is None:
            raise DataError("The box is not complete; give all four of its edges.")


def _check_text(text: str, one: Field) -> None:
    if one.required and not text.strip():
        raise DataError(f"{one.label} is empty; type something like: {one.placeholder}")
    if len(text) > MAX_CHARACTERS:
        raise DataError(
            f"{one.label} has {len(text):,} characters; give at most {MAX_CHARACTERS:,}"
        )


def _check_choices(choices: tuple[str, ...], one: Field) -> None:
    if len(choices) < 2:
        raise DataError(f"{one.label}: give at least two, each on a line of its own.")
    if len(choices) > MAX_CHOICES:
        raise DataError(f"{one.label}: {len(choices):,} are too many; give at most {MAX_CHOICES:,}")


def split_lines(text: str) -> tuple[str, ...]:
    """Return the lines of a field that are not empty, without those that come again."""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def _answer(model: "Predictor", asked: Asked) -> "Result | list[Result]":
    assert asked.image is not None
    return model.answer(asked.image, asked.text)


def _caption(model: "Predictor", asked: Asked) -> "Result | list[Result]":
    assert asked.image is not None
    return model.caption(asked.image)


def _classify(model: "Predictor", asked: Asked) -> "Result | list[Result]":
    assert asked.image is not None
    return model.classify(asked.image, list(asked.choices))


def _ground(model: "Predictor", asked: Asked) -> "Result | list[Result]":
    assert asked.image is not None
    return model.ground(asked.image, asked.text)


def _describe(model: "Predictor", asked: Asked) -> "Result | list[Result]":
    assert asked.image is not None
    assert asked.box is not None
    return model.describe_region(asked.image, asked.box)


def _summarize(model: "Predictor", asked: Asked) -> "Result | list[Result]":
    return model.summarize(asked.text)


def _entails(model: "Predictor", asked: Asked) -> "Result | list[Result]":
    return model.entails(asked.text, asked.second)


def _choose(model: "Predictor", asked: Asked) -> "Result | list[Result]":
    context = asked.context.strip() or None
    return model.choose(asked.text, list(asked.choices), context=context, image=asked.image)


def _generate(model: "Predictor", asked: Asked) -> "Result | list[Result]":
    return model.generate_image(asked.text)


def _note(task: str, source: str) -> "Callable[[Predictor, Asked], Result | list[Result]]":
    """Return how a task on one clinical text is asked."""

    def ask(model: "Predictor", asked: Asked) -> "Result | list[Result]":
        return list(model.predict(task, [{source: asked.text}]))

    return ask


def _match(model: "Predictor", asked: Asked) -> "Result | list[Result]":
    return list(model.predict("trial_matching", [{"patient": asked.text, "trial": asked.second}]))


PAGE_TASKS = (
    PageTask(
        name="vqa",
        title="Ask about an image",
        image="required",
        fields={"text": Field("Question", "what kind of lesion is shown?")},
        ask=_answer,
    ),
    PageTask(name="captioning", title="Describe an image", image="required", ask=_caption),
    PageTask(
        name="classification",
        title="Classify an image",
        image="required",
        fields={"choices": Field("Labels, one per line", "nodule\ncyst", lines=3)},
        ask=_classify,
    ),
    PageTask(
        name="grounding",
        title="Find a region",
        image="required",
        fields={"text": Field("What to find", "cyst in the upper left part")},
        ask=_ground,
    ),
    PageTask(
        name="region_captioning",
        title="Describe a region",
        image="required",
        box=True,
        ask=_describe,
    ),
    PageTask(
        name="summarization",
        title="Summarize a text",
        image="none",
        fields={"text": Field("Text", "a question, a report or an article", lines=6)},
        ask=_summarize,
    ),
    PageTask(
        name="entailment",
        title="Does a sentence follow?",
        image="none",
        fields={
            "text": Field("First sentence", "the patient was intubated", lines=2),
            "second": Field("Does this follow?", "the patient cannot speak", lines=2),
        },
        ask=_entails,
    ),
    PageTask(
        name="question_answering",
        title="Choose between options",
        image="optional",
        fields={
            "text": Field("Question", "which vitamin is made in the skin?", lines=2),
            "choices": Field("Options, one per line", "vitamin c\nvitamin d", lines=3),
            "context": Field("Text to answer from (optional)", "", required=False, lines=3),
        },
        ask=_choose,
    ),
    PageTask(
        name="image_generation",
        title="Draw an image",
        image="none",
        fields={"text": Field("What to draw", "axial ct of the head without lesions")},
        ask=_generate,
    ),
    PageTask(
        name="trial_matching",
        title="Match a patient to a trial",
        image="none",
        fields={
            "text": Field("Patient", "a 60-year-old woman with asthma", lines=4),
            "second": Field("Trial", "adults with asthma", lines=4),
        },
        specialist=True,
        ask=_match,
    ),
    PageTask(
        name="treatment_suggestion",
        title="Suggest a treatment",
        image="none",
        fields={"text": Field("Record", "age: 60; site: breast", lines=6)},
        specialist=True,
        ask=_note("treatment_suggestion", "record"),
    ),
    PageTask(
        name="mortality",
        title="Mortality in hospital",
        image="none",
        fields={"text": Field("Admission note", "chief complaint: dyspnea", lines=6)},
        specialist=True,
        ask=_note("mortality", "note"),
    ),
)
"""All tasks of the page, in its order."""


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
            for task in PAGE_TASKS
            if task.name == trained
            or not (task.specialist or (task.name == "image_generation" and not draws))
        ]
        first = tuple(task for task in tasks if task.name == trained)
        if not first:
            return cls(tuple(tasks), ())
        return cls(first, tuple(task for task in tasks if task.name != trained))

    def find(self, title: str) -> PageTask:
        """Return the task of a title."""
        for task in (*self.first, *self.others):
            if task.title == title:
                return task
        raise DataError("There is no such task; choose one of the list.")
