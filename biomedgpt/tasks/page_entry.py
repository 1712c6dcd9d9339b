"""What the page of `biomedgpt serve` asks for, task by task."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CANDIDATES = "candidates"
"""Name of the text field that holds answers to choose from, one per line."""


@dataclass(frozen=True)
class PageField:
    """A text field of a task: what is above it, an example in it, and whether it may be empty."""

    label: str
    placeholder: str = ""
    required: bool = True
    lines: int = 1


@dataclass(frozen=True, kw_only=True)
class PageEntry:
    """One entry of the page's list of tasks.

    Attributes:
        title: what the list says.
        fields: text fields by name of the field, or `CANDIDATES`, in their order on the page.
        box: whether it needs a box in the image.
        specialist: whether only a checkpoint that was trained for it can answer it.
        with_image: name of the task that is asked, with the options as candidates, where there is
            an image.
    """

    title: str
    fields: Mapping[str, PageField] = field(default_factory=dict)
    box: bool = False
    specialist: bool = False
    with_image: str = ""
