"""Tasks by name: what is asked, what is answered, how it is decoded and scored."""

from biomedgpt.errors import ConfigError
from biomedgpt.tasks.base import Example, PromptType, Reference, RunInfo, Task
from biomedgpt.tasks.captioning import Captioning
from biomedgpt.tasks.classification import Classification, ClosedTask
from biomedgpt.tasks.entailment import Entailment
from biomedgpt.tasks.instruction import Instruction
from biomedgpt.tasks.question_answering import QuestionAnswering
from biomedgpt.tasks.summarization import Summarization
from biomedgpt.tasks.understanding import Mortality, TreatmentSuggestion, TrialMatching
from biomedgpt.tasks.vqa import Vqa

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        *(Vqa, Captioning, Classification, Summarization, QuestionAnswering),
        *(Entailment, TrialMatching, TreatmentSuggestion, Mortality, Instruction),
    )
}


def get_task(name: str) -> Task:
    """Return the task of that name with its default options.

    Raises:
        ConfigError: no such task.
    """
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}; choose one of {', '.join(sorted(TASKS))}")
    return TASKS[name]()


__all__ = [
    "TASKS",
    "Captioning",
    "Classification",
    "ClosedTask",
    "Entailment",
    "Example",
    "Instruction",
    "Mortality",
    "PromptType",
    "QuestionAnswering",
    "Reference",
    "RunInfo",
    "Summarization",
    "Task",
    "TreatmentSuggestion",
    "TrialMatching",
    "Vqa",
    "get_task",
]
