"""Which column of one's own table holds which field of a task."""

from collections.abc import Iterable, Mapping, Sequence

from biomedgpt.data.raw.table_files import listed
from biomedgpt.errors import ConfigError
from biomedgpt.tasks.fields import TaskFields

Columns = Mapping[str, tuple[str, ...]]
"""Columns by field, usually one."""

SPLITTING = ("split", "group", "patient")
"""Fields of any task that say which rows belong together."""


def parse_columns(items: Iterable[str]) -> dict[str, list[str]]:
    """Parse ``field=column``; a field given several times takes several columns.

    Raises:
        ConfigError: an item of another form.
    """
    wanted: dict[str, list[str]] = {}
    for item in items:
        field, equals, column = item.partition("=")
        if not (field and equals):
            raise ConfigError(f"--columns {item}: give FIELD=COLUMN, as in question=Frage")
        wanted.setdefault(field.strip(), []).append(column.strip())
    return wanted


def resolve_columns(
    wanted: Mapping[str, Sequence[str]],
    present: Sequence[str],
    *,
    name: str,
    task: TaskFields,
    where: str,
) -> dict[str, tuple[str, ...]]:
    """Return the columns of each field of one table.

    A field that ``wanted`` does not name has the column of its own name, if there is one. Several
    columns are given as ``A,B,C`` or one by one; an empty name leaves a field without a column.

    Args:
        wanted: columns by field, as given.
        present: columns of the table.
        name: name of the task.
        task: its fields.
        where: the table, for messages.

    Raises:
        ConfigError: unknown fields, columns that the table lacks, and fields without a column, all
            in one line.
    """
    image = ("image", "frame") if task.image else ()
    known = tuple(dict.fromkeys(("id", *task.all, *image, *SPLITTING)))
    several = {"options", "references"}
    if "references" in task.all:
        several.add(task.target)
    columns: dict[str, tuple[str, ...]] = {one: (one,) for one in known if one in present}
    problems = []
    for field, given in wanted.items():
        if field not in known:
            problems.append(f"unknown field {field!r}")
            continue
        chosen = [one for text in given for one in _names(text, present)]
        columns.pop(field, None)
        if chosen:
            columns[field] = tuple(chosen)
        problems += [f"no column {one!r}" for one in chosen if one not in present]
        if len(chosen) > 1 and field not in several:
            problems.append(f"{field} takes one column, not {len(chosen)}")
    image_needed = task.image and not task.image_optional
    needed = [*task.required, *(["image"] if image_needed else [])]
    given_by_references = {task.target} if "references" in columns else set()
    lacking = [one for one in needed if one not in columns and one not in given_by_references]
    if lacking:
        problems.append(f"no column for {' and '.join(lacking)}")
    if problems:
        others = ", ".join(one for one in known if one not in needed)
        raise ConfigError(
            f"{where}: {'; '.join(problems)}. {name} needs {', '.join(needed)} (and may have "
            f"{others}); the table has the columns {listed(present)}; say which is which with "
            "--columns FIELD=COLUMN"
        )
    return columns


def _names(text: str, present: Sequence[str]) -> list[str]:
    """Return the columns that a text names: itself, or those between its commas."""
    if text in present:
        return [text]
    return [name for name in map(str.strip, text.split(",")) if name]
