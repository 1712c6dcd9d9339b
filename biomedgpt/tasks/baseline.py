"""What needs no model, and what every score stands beside."""

from collections.abc import Callable
from dataclasses import dataclass

from biomedgpt.metrics.measures import Record

MAJORITY = "majority"
"""Key of a line that holds the commonest training answer (to questions of its type)."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Answers that need no model.

    Attributes:
        name: above its column.
        meaning: the same within a sentence.
        definition: what it does, in words.
        key: key of a line that the answer is taken from.
        answer: its answer to one line; "" where it has none.
    """

    name: str
    meaning: str
    definition: str
    key: str
    answer: Callable[[Record], str]


def majority(definition: str) -> Baseline:
    """Return the baseline that gives the commonest training answer, which lines hold."""
    return Baseline(
        name="majority answer",
        meaning="always giving the majority answer",
        definition=definition,
        key=MAJORITY,
        answer=lambda record: str(record.get(MAJORITY, "")),
    )
