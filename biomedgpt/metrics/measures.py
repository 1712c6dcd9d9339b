"""What a measure is: a number for each example, or one over all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomedgpt.errors import ConfigError

Record = Mapping[str, Any]
"""A line of a prediction file."""
Examples = Callable[[Sequence[Record]], NDArray[np.float64]]
"""What each example is worth (n,); NaN for those that the measure is not about."""
Statistics = Callable[[NDArray[np.int64]], Sequence[float]]
"""Values over the examples with these indices (m,), some of them repeated; NaN where undefined."""
Corpus = Callable[[Sequence[Record]], Statistics]
"""Looks at all examples, at least one, once; raises `NotMeasured` where there can be no value."""


def per_record(value: Callable[[Record], float]) -> Examples:
    """Return a measure that looks at one line at a time."""
    return lambda records: np.array([value(record) for record in records], dtype=np.float64)


class NotMeasured(Exception):
    """Says why a measure has no value; an empty reason where there is nothing to say."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure of a kind of task."""

    key: str
    """Name in score files, also that of published numbers (``rouge_l``)."""
    label: str
    """Name for people (``ROUGE-L``)."""
    definition: str
    """What it measures, in words."""
    term: str = ""
    """What the definition explains, where several measures share it; else the label."""
    examples: Examples | None = None
    """Per example; the measure is their mean. Either this or `corpus`."""
    corpus: Corpus | None = None
    """Over all examples at once; measures of the same one are computed together."""
    part: int = 0
    """Which of the values of `corpus` it is."""
    interval: bool = True
    """Whether a bootstrap interval is computed."""
    baseline: bool = False
    """Whether the task's baseline is measured as well."""
    gain: bool = False
    """Whether the gain over blank images, paired by example, is; needs `examples`."""
    logged: str = ""
    """Name of the mean in the log of a validation; "" if it is not computed there."""

    def __post_init__(self) -> None:
        if not (self.key and self.label and self.definition.strip()):
            raise ConfigError(f"measure {self.key or self.label!r}: give key, label and definition")
        if (self.examples is None) == (self.corpus is None):
            raise ConfigError(f"measure {self.key!r}: give one of examples and corpus")
        if (self.gain or self.logged) and self.examples is None:
            raise ConfigError(f"measure {self.key!r}: gain and logged need a value per example")
