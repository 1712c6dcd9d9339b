"""Kinds of tasks: tasks whose predictions are scored alike, by one script and in one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biomedgpt.metrics.measures import Measure, Record
from biomedgpt.tasks.base import Task
from biomedgpt.tasks.baseline import Baseline


@dataclass(frozen=True)
class Group:
    """A view of the tasks of one kind; what they share is taken from the first of them.

    Attributes:
        name: also that of its folder in ``run_scripts/`` and its script in ``evaluation/``.
        members: the tasks, at least one.
    """

    name: str
    members: tuple[type[Task], ...]

    @property
    def task(self) -> type[Task]:
        """The first of the tasks, which says what all of them share."""
        return self.members[0]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(task.name for task in self.members)

    @property
    def how_to_score(self) -> str:
        """What scores its predictions: its script, or for one's own the recipe."""
        return f"evaluation/{self.name}.py" if self.task.is_built_in() else "evaluate_own.sh"

    @property
    def title(self) -> str:
        """Name for people."""
        return self.task.group_title

    @property
    def items(self) -> str:
        """What the examples are called."""
        return self.task.items

    @property
    def uses_image(self) -> bool:
        """Whether there is an image to look at, which can be blanked."""
        return self.task.fields.image

    @property
    def measures(self) -> tuple[Measure, ...]:
        """In the order in which they are printed."""
        return self.task.measures

    @property
    def primary(self) -> str:
        """Key of the measure that is compared with the baselines."""
        return self.task.primary

    @property
    def headline(self) -> tuple[str, ...]:
        """Keys of the measures that a table of many datasets shows."""
        return self.task.headline

    @property
    def baseline(self) -> Baseline | None:
        """What needs no model."""
        return self.task.baseline

    @property
    def baseline_name(self) -> str | None:
        """Above its column, where there is one."""
        return None if self.baseline is None else self.baseline.name

    @property
    def definitions(self) -> Mapping[str, str]:
        """What the measures, the baseline and the intervals are, in words."""
        found = {one.term or one.label: one.definition for one in self.measures}
        if self.baseline is not None:
            found[self.baseline.name] = self.baseline.definition
        return found | dict(self.task.terms)

    def credits(self, records: Sequence[Record]) -> NDArray[np.float64]:
        """Return what each example is worth by the primary measure (n,)."""
        measure = self.task.primary_measure()
        assert measure.examples is not None
        return measure.examples(records)
