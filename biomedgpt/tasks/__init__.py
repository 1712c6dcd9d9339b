"""Tasks by name: what is asked, what is answered, how it is decoded, scored and shown.

A task is one file; see `biomedgpt.tasks.base.Task`. Nothing here needs torch.
"""

from biomedgpt.metrics.measures import Measure
from biomedgpt.tasks.base import Example, PromptType, Reference, Task
from biomedgpt.tasks.captioning import Captioning
from biomedgpt.tasks.classification import Classification, ClosedTask
from biomedgpt.tasks.fields import PRETRAINING_FIELDS, TaskFields
from biomedgpt.tasks.group import Group
from biomedgpt.tasks.instruction import Instruction
from biomedgpt.tasks.page_entry import PageEntry, PageField
from biomedgpt.tasks.prediction import RunInfo
from biomedgpt.tasks.registry import (
    BUILT_IN,
    TASKS,
    askable,
    get_group,
    get_task,
    group_of_task,
    groups,
    guess_group,
    register,
    row_kinds,
)
from biomedgpt.tasks.skills import SKILLS
from biomedgpt.tasks.vqa import Vqa

__all__ = [
    "BUILT_IN",
    "PRETRAINING_FIELDS",
    "SKILLS",
    "TASKS",
    "Captioning",
    "Classification",
    "ClosedTask",
    "Example",
    "Group",
    "Instruction",
    "Measure",
    "PageEntry",
    "PageField",
    "PromptType",
    "Reference",
    "RunInfo",
    "Task",
    "TaskFields",
    "Vqa",
    "askable",
    "get_group",
    "get_task",
    "group_of_task",
    "groups",
    "guess_group",
    "register",
    "row_kinds",
]
