"""What a task must say of itself before it is registered."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError
from biomedgpt.metrics.measures import Measure
from biomedgpt.tasks.base import Task
from biomedgpt.tasks.baseline import Baseline
from biomedgpt.tasks.fields import PRETRAINING_FIELDS, TaskFields
from biomedgpt.tasks.page_entry import CANDIDATES, PageEntry, PageField
from biomedgpt.tasks.skills import SKILLS

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NEEDED = (
    *("name", "fields", "group", "group_title", "measures", "primary", "headline", "scorer"),
    "normalisation",
)
_TYPES: Mapping[str, tuple[type, str]] = {
    **dict.fromkeys(("name", "group", "group_title", "items", "primary"), (str, "a text")),
    **dict.fromkeys(("scorer", "normalisation", "recipes"), (str, "a text")),
    "fields": (TaskFields, "TaskFields(source=..., target=..., ...)"),
    "decoding": (GenerationConfig, "GenerationConfig(beam=..., ...)"),
    **dict.fromkeys(("headline", "recorded", "default_answers"), (tuple, "a tuple of texts")),
    "measures": (tuple, "a tuple of Measure(...)"),
    "baseline": (Baseline | None, "a Baseline, or None"),  # type: ignore[dict-item]
    "page": (PageEntry | None, "a PageEntry, or None"),  # type: ignore[dict-item]
}
_RESERVED = {"id", "image", "frame", "split", "group", "image_name", CANDIDATES}
_SHARED = (
    *("items", "measures", "primary", "headline", "baseline", "scorer", "recorded"),
    "normalisation",
)
"""What tasks of one kind have in common, since their predictions are scored alike."""


def check_task(task: type[Task], others: Sequence[type[Task]]) -> None:
    """Refuse a task that is incomplete or contradicts itself.

    Args:
        task: class of the task.
        others: those that are registered.

    Raises:
        ConfigError: it lacks an attribute or a role; names a field or a measure twice; its
            instruction does not use a source, or reads what is no source; it differs from the
            other tasks of its group in what they share.
    """
    name = getattr(task, "name", task.__name__)

    def refuse(problem: str) -> ConfigError:
        return ConfigError(f"task {name!r}: {problem}")

    if lacking := [one for one in _NEEDED if not hasattr(task, one)]:
        raise refuse(f"says no {' and no '.join(lacking)}")
    for one, (kind, words) in _TYPES.items():
        if not isinstance(getattr(task, one, None), kind) and hasattr(task, one):
            raise refuse(f"{one} must be {words}, not {getattr(task, one)!r}")
    if not all(isinstance(one, Measure) for one in task.measures):
        raise refuse("measures must be a tuple of Measure(...)")
    for one in ("name", "group"):
        if not _NAME.fullmatch(getattr(task, one)):
            raise refuse(f"a {one} is lower-case letters, digits and underscores")
    if name in PRETRAINING_FIELDS or name in SKILLS:
        raise refuse("the name is taken by something that a model is pretrained on")
    if abstract := getattr(task, "__abstractmethods__", None):
        raise refuse(f"has no {', '.join(sorted(abstract))}")
    if problem := (_fields_problem(task) or _measures_problem(task) or _page_problem(task)):
        raise refuse(problem)
    recipes = {other.recipes or other.group for other in others if other.is_built_in()}
    if not task.is_built_in() and (task.recipes or task.group) not in recipes:
        raise refuse(
            f"there are no recipes of {task.recipes or task.group}; name a group of "
            f"{', '.join(sorted(recipes))} in recipes"
        )
    titles = {other.page_entry().title for other in others}
    if task.page_entry().title in titles | {skill.page.title for skill in SKILLS.values()}:
        raise refuse(f"another entry of the page has the title {task.page_entry().title!r}")
    for other in others:
        if other.group == task.group:
            _check_group(task, other, refuse)
        if other.group == task.recipes and other.fields.image != task.fields.image:
            raise refuse(
                f"its rows {_images(task)}, but those of {task.recipes}, whose recipes would train "
                f"it, {_images(other)}; name another group in recipes"
            )
    try:
        problem = _instruction_problem(task)
    except KeyError as error:
        raise refuse(f"its instruction reads {error}, which is none of its fields") from error
    except Exception as error:
        raise refuse(f"its instruction fails ({type(error).__name__}: {error})") from error
    if problem:
        raise refuse(problem)


def _fields_problem(task: type[Task]) -> str:
    fields = task.fields
    if not (fields.source or fields.image):
        return "fields lack a source: name a text that the model reads, or image=True"
    if not fields.target:
        return "fields lack a target: name the text that the model writes"
    names = Counter((*fields.source, fields.target))
    names += Counter({one for one in fields.optional if one not in fields.source})
    if twice := [one for one, count in names.items() if count > 1]:
        return f"field {twice[0]!r} is named twice, or is source and target"
    if fields.target in fields.optional:
        return f"the target {fields.target!r} cannot be optional"
    if fields.image_optional and not fields.image:
        return "image_optional goes with image=True"
    if reserved := _RESERVED & {*fields.all} | {"references"} & {*fields.source}:
        return f"field {min(reserved)!r} has a meaning of its own in every table"
    if unknown := [one for one in task.recorded if one not in fields.all]:
        return f"recorded names {unknown[0]!r}, which is none of its fields"
    if task.fields.closed and not task().constrained:
        return "closed fields need constrained = True"
    return ""


def _measures_problem(task: type[Task]) -> str:
    if not task.measures:
        return "measures nothing"
    for what in ("key", "label", "logged"):
        counts = Counter(getattr(one, what) for one in task.measures)
        if twice := [one for one, count in counts.items() if one and count > 1]:
            return f"two measures have the {what} {twice[0]!r}"
    measures = [one.key for one in task.measures]
    if task.primary not in measures:
        return f"primary is {task.primary!r}, which is none of its measures"
    primary = task.primary_measure()
    if primary.examples is None or not primary.logged:
        return f"the primary measure {task.primary!r} needs a value per example, and logged"
    if unknown := [one for one in task.headline if one not in measures]:
        return f"headline names {unknown[0]!r}, which is none of its measures"
    if task.baseline is None and any(one.baseline for one in task.measures):
        return "a measure asks for a baseline, and there is none"
    return ""


def _page_problem(task: type[Task]) -> str:
    shown = task.page_entry().fields
    if unknown := [one for one in shown if one not in (*task.fields.all, CANDIDATES)]:
        return f"page names {unknown[0]!r}, which is none of its fields"
    if wrong := [one for one, field in shown.items() if not isinstance(field, PageField)]:
        return f"page: {wrong[0]} must be a PageField"
    needed = [one for one in task.fields.source if one in task.fields.required]
    if lacking := [one for one in needed if one not in shown]:
        return f"page does not ask for {lacking[0]!r}"
    return ""


def _check_group(task: type[Task], other: type[Task], refuse: Any) -> None:
    differing = [one for one in _SHARED if getattr(task, one, None) != getattr(other, one, None)]
    if task.fields.image != other.fields.image:
        differing.append("image")
    if differing:
        raise refuse(
            f"differs from {other.name} in {', '.join(differing)}, and both are of the group "
            f"{task.group}; give it a group of its own"
        )


def _images(task: type[Task]) -> str:
    return "show images" if task.fields.image else "show no images"


def _instruction_problem(task: type[Task]) -> str:
    """Try the instruction; say which source does not change it, or that its target does."""
    definition = task()
    example = {name: _sample(task, name, 0) for name in task.fields.source}
    others = [name for name in task.fields.all if name not in example]
    example |= dict.fromkeys(others, "") | {"id": "sample"}
    said = definition.instruction(example)
    for name in task.fields.source:
        if definition.instruction(example | {name: _sample(task, name, 1)}) == said:
            return f"its instruction does not use the field {name!r}"
    if definition.instruction(example | {task.fields.target: "answer two"}) != said:
        return f"its instruction shows the target {task.fields.target!r}"
    return ""


def _sample(task: type[Task], name: str, number: int) -> str:
    if name in task.samples:
        return task.samples[name][number]
    return f"{name.replace('_', ' ')} {'one' if number == 0 else 'two'}"
