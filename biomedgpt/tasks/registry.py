"""All tasks by name: those of this package, and those of one's own.

A task of one's own is a Python file that calls `register`. The environment variable
``BIOMEDGPT_TASKS`` names such files (several are separated as in ``PATH``), so that every command,
recipe and worker process knows them; Python code may also call `register` by itself.
"""

import importlib.util
import os
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from biomedgpt.errors import BiomedGPTError, ConfigError
from biomedgpt.metrics.measures import Record
from biomedgpt.tasks.base import Task
from biomedgpt.tasks.captioning import Captioning
from biomedgpt.tasks.check import check_task
from biomedgpt.tasks.classification import Classification
from biomedgpt.tasks.entailment import Entailment
from biomedgpt.tasks.fields import PRETRAINING_FIELDS, TaskFields
from biomedgpt.tasks.group import Group
from biomedgpt.tasks.instruction import Instruction
from biomedgpt.tasks.prediction import COMMON_KEYS
from biomedgpt.tasks.question_answering import QuestionAnswering
from biomedgpt.tasks.skills import SKILLS
from biomedgpt.tasks.summarization import Summarization
from biomedgpt.tasks.understanding import Mortality, TreatmentSuggestion, TrialMatching
from biomedgpt.tasks.vqa import Vqa

VARIABLE = "BIOMEDGPT_TASKS"
BUILT_IN: tuple[type[Task], ...] = (
    *(Vqa, Captioning, Classification, Summarization),
    *(Entailment, TrialMatching, TreatmentSuggestion, Mortality),
    *(QuestionAnswering, Instruction),
)
"""The tasks of this package, in the order of all tables."""

AnyTask = TypeVar("AnyTask", bound=type[Task])


class _Tasks(Mapping[str, type[Task]]):
    """Tasks by name; the files that the environment names are read when somebody looks."""

    def __init__(self) -> None:
        self._known: dict[str, type[Task]] = {}
        self._unread = True

    def add(self, task: AnyTask) -> AnyTask:
        if not (isinstance(task, type) and issubclass(task, Task)):
            raise ConfigError(f"{task!r} is no class of a task; register the class itself")
        for one in reversed(task.__mro__):
            if issubclass(one, Task) and "__dataclass_params__" not in vars(one):
                dataclass(frozen=True, kw_only=True)(one)  # not decorated, as few need to be
        others = [one for one in self._known.values() if _place(one) != _place(task)]
        for one in others:
            if one.name == getattr(task, "name", None):
                raise ConfigError(f"task {one.name!r} is registered already ({one.__module__})")
        check_task(task, others)
        self._known[task.name] = task
        return task

    def __getitem__(self, name: str) -> type[Task]:
        self._read()
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        self._read()
        return iter(self._known)

    def __len__(self) -> int:
        self._read()
        return len(self._known)

    def _read(self) -> None:
        if not self._unread:
            return
        self._unread = False  # the files import this package
        try:
            for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
                _run_file(Path(name))
        except BaseException:
            self._unread = True
            raise


def _place(task: type) -> tuple[str, str]:
    """Return where a class is defined: a file that is run again defines the same one."""
    return task.__module__, task.__qualname__


_tasks = _Tasks()
TASKS: Mapping[str, type[Task]] = _tasks
"""All tasks by name, in the order of all tables."""


def register(task: AnyTask) -> AnyTask:
    """Add a task to everything that lists tasks; also to be used as a decorator.

    Raises:
        ConfigError: what the task says of itself is incomplete or contradicts itself, see
            `biomedgpt.tasks.check`; or its name is taken.
    """
    return _tasks.add(task)


for _task in BUILT_IN:
    register(_task)


def get_task(name: str) -> Task:
    """Return the task of that name with its default options.

    Raises:
        ConfigError: no such task.
    """
    if name not in TASKS:
        if name in PRETRAINING_FIELDS:
            raise ConfigError(f"{name} is for pretraining, and no task to train or score")
        raise ConfigError(
            f"unknown task {name!r}; choose one of {', '.join(sorted(TASKS))}, or name the file "
            f"that registers it in ${VARIABLE}"
        )
    return TASKS[name]()


def row_kinds() -> dict[str, TaskFields]:
    """Return what a prepared dataset may hold: the fields of tasks and of kinds of corpora."""
    return {name: task.fields for name, task in TASKS.items()} | PRETRAINING_FIELDS


def askable() -> dict[str, TaskFields]:
    """Return what can be asked of a model, with its fields: tasks, and what has no benchmark."""
    tasks = {name: task.fields for name, task in TASKS.items()}
    return tasks | {name: skill.fields for name, skill in SKILLS.items()}


def groups() -> dict[str, Group]:
    """Return the kinds of tasks by name, in the order of the tables."""
    members: dict[str, list[type[Task]]] = {}
    for task in TASKS.values():
        members.setdefault(task.group, []).append(task)
    return {name: Group(name, tuple(tasks)) for name, tasks in members.items()}


def get_group(name: str) -> Group:
    """Return a kind of tasks by its name.

    Raises:
        ConfigError: no such kind.
    """
    known = groups()
    if name not in known:
        raise ConfigError(f"unknown kind of task {name!r}; choose one of {', '.join(known)}")
    return known[name]


def group_of_task(name: str, *, where: str) -> Group:
    """Return the kind that a task is of.

    Args:
        name: of the task, as a prepared dataset says it.
        where: what said so, for the message.

    Raises:
        ConfigError: rows for pretraining, which nothing scores; or no such task.
    """
    if name in PRETRAINING_FIELDS and name not in TASKS:
        raise ConfigError(f"{where} holds {name} for pretraining, which nothing scores")
    return get_group(get_task(name).group)


def guess_group(record: Record) -> Group:
    """Return the kind that a line of a prediction file is of: the one that fits most of its keys.

    The lines of image classification and of text understanding have the same keys, and the same
    scores: both give the former.

    Raises:
        ConfigError: it fits several kinds that are scored differently.
    """

    def fit(group: Group) -> int:
        keys = {*group.task.recorded, *group.task.prediction_keys()} - COMMON_KEYS.keys()
        return len(keys) if keys <= record.keys() else -1

    fits = [(fit(group), group) for group in groups().values()]
    most = max(count for count, _ in fits)
    best = [group for count, group in fits if count == most]
    if others := [group.name for group in best if group.measures != best[0].measures]:
        raise ConfigError(
            f"the predictions may be of {best[0].name} or {' or '.join(others)}; name their "
            "dataset with --data"
        )
    return best[0]


def _run_file(path: Path) -> None:
    """Run a file of tasks.

    Raises:
        ConfigError: it cannot be found, fails, or registers a task that is refused.
    """
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(f"{VARIABLE} names {path}, which is no Python file; correct it")
    name = f"tasks of {path.resolve()}"  # not that of a file of the same name elsewhere
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except BiomedGPTError as error:
        raise ConfigError(f"{path}: {error}") from error
    except SyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno}: {error.msg}") from error
    except SystemExit as error:
        raise ConfigError(f"{path}: it ends the program; leave that out") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((one.lineno for one in reversed(frames) if one.filename == str(path)), "?")
        raise ConfigError(f"{path}:{line}: {type(error).__name__}: {error}") from error
