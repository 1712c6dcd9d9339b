"""What the rows of a task hold, and what corpora for pretraining hold beside it."""

from dataclasses import dataclass

from biomedgpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TaskFields:
    """Fields of one task besides ``id``, by their roles.

    Attributes:
        source: texts the model reads.
        target: text it is to write; "" where there is none.
        optional: fields that may be empty: some of the sources, and those that serve other
            purposes.
        image: every row shows an image.
        image_optional: with `image`, rows may also show none.
        free_text: answers are texts of their own, so that there are no candidates and no majority.
        closed: every answer is one of the dataset's classes.
        boxes: field that holds boxes in pixels of the image; see `biomedgpt.data.imaging.boxes`.
    """

    source: tuple[str, ...] = ()
    target: str = "answer"
    optional: tuple[str, ...] = ()
    image: bool = False
    image_optional: bool = False
    free_text: bool = False
    closed: bool = False
    boxes: str = ""

    def __post_init__(self) -> None:
        for name in ("source", "optional"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(one, str) for one in value):
                raise ConfigError(f"{name} must be a tuple of names like ('note',), got {value!r}")
        if self.closed and self.free_text:
            raise ConfigError("answers are classes (closed) or texts of their own (free_text)")
        if self.boxes not in ("", *self.all):
            raise ConfigError(f"boxes names {self.boxes!r}, which is none of the fields")

    @property
    def all(self) -> tuple[str, ...]:
        """All text fields: sources, target, then those that may be empty."""
        names = (*self.source, self.target, *self.optional)
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def stored(self) -> tuple[str, ...]:
        """What a prepared row holds besides its image."""
        names = ("id", *self.all, "image_name") if self.image else ("id", *self.all)
        return tuple(dict.fromkeys(names))

    @property
    def required(self) -> tuple[str, ...]:
        """Text fields that may not be empty."""
        return tuple(name for name in self.all if name not in self.optional)

    @property
    def has_options(self) -> bool:
        """Whether a row may bring options of its own; see `biomedgpt.tasks.answer_options`."""
        return "options" in self.all


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
