"""The fields of every task's rows, known without importing the tasks (and torch with them).

Corpora for pretraining have kinds of rows of their own, which no task is fine-tuned on.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TaskFields:
    """Fields of one task besides ``id``.

    Attributes:
        source: texts the model reads, besides what `optional` holds for other purposes.
        target: text it is to write; "" where there is none.
        optional: fields that may be empty.
        image: every row shows an image.
        image_optional: with `image`, rows may also show none.
        free_text: answers are texts of their own, so that there are no candidates and no majority.
        closed: every answer is one of the dataset's classes.
        boxes: field that holds boxes in pixels of the image; see `biomedgpt.data.boxes`.
    """

    source: tuple[str, ...] = ()
    target: str = "answer"
    optional: tuple[str, ...] = ()
    image: bool = False
    image_optional: bool = False
    free_text: bool = False
    closed: bool = False
    boxes: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        """All text fields: sources, target, then those that may be empty."""
        names = (*self.source, self.target, *self.optional)
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def required(self) -> tuple[str, ...]:
        """Text fields that may not be empty."""
        return tuple(name for name in self.all if name not in self.optional)


TASK_FIELDS = {
    "vqa": TaskFields(
        source=("question",),
        optional=("answer_type", "question_type", "object", "references"),
        image=True,
    ),
    "captioning": TaskFields(target="caption", optional=("references",), image=True),
    "classification": TaskFields(image=True, closed=True),
    "summarization": TaskFields(source=("source",), target="summary"),
    "question_answering": TaskFields(
        source=("question", "options", "context"), optional=("options", "context"), closed=True
    ),
    "entailment": TaskFields(source=("sentence1", "sentence2"), closed=True),
    "trial_matching": TaskFields(source=("patient", "trial"), closed=True),
    "treatment_suggestion": TaskFields(source=("record",), closed=True),
    "mortality": TaskFields(source=("note",), closed=True),
    "instruction": TaskFields(
        source=("instruction", "history"),
        optional=("history", "modality", "image_in"),
        image=True,
        image_optional=True,
        free_text=True,
    ),
}
"""By name of the task; the same as `biomedgpt.tasks.TASKS`."""

PRETRAINING_FIELDS = {
    "text": TaskFields(target="text"),
    "images": TaskFields(target="", optional=("image_name",), image=True),
    "detection": TaskFields(
        target="objects", optional=("image_name",), image=True, boxes="objects"
    ),
    "grounding": TaskFields(
        source=("phrase",), target="box", optional=("image_name",), image=True, boxes="box"
    ),
}
"""By kind of corpus; pairs of image and text are stored as the tasks captioning and vqa."""

KINDS = TASK_FIELDS | PRETRAINING_FIELDS
"""Everything that a prepared dataset may hold."""
