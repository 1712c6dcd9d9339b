"""The six kinds of tasks: what their prediction files hold, how they are scored and compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomedgpt.errors import DataError
from biomedgpt.metrics import captioning, classification, instruct, summarization, vqa
from biomedgpt.metrics.bootstrap import Estimate
from biomedgpt.metrics.predictions import COMMON_KEYS, Record

Score = (
    vqa.VqaScore
    | captioning.CaptioningScore
    | classification.ClassificationScore
    | summarization.SummarizationScore
    | instruct.InstructScore
)
Credits = Callable[[Sequence[Record]], NDArray[np.float64]]
"""What each example is worth (n,); NaN for those that the measure is not about."""


@dataclass(frozen=True, kw_only=True)
class MeasureKind:
    """One measure of a kind of task, and where its score holds it.

    Attributes:
        key, label: see `Measure`.
        model: takes it from the score.
        baseline: takes that of the baseline from the score, where there is one.
        credits: per example, where the measure is their mean: gives the gain over blank images.
        problem: takes from the score why there is no value.
    """

    key: str
    label: str
    model: Callable[[Any], Estimate]
    baseline: Callable[[Any], Estimate] | None = None
    credits: Credits | None = None
    problem: Callable[[Any], str | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """A kind of task.

    Attributes:
        name: also that of its script in ``evaluation/``.
        title: for people.
        tasks: names of the tasks of `biomedgpt.tasks` that are of this kind.
        items: what its examples are called.
        uses_image: whether there is an image to look at, which can be blanked.
        keys: required keys of a prediction, with their types.
        check: further checks of a prediction.
        score: scores predictions.
        measures: in the order in which they are printed.
        primary: key of the measure that is compared with the baselines; it has credits.
        headline: keys of the measures that a table of many datasets shows.
        baseline: name of the baseline that needs no model.
        baseline_meaning: the same within a sentence.
        definitions: what the measures mean.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    items: str
    uses_image: bool
    keys: Mapping[str, type]
    check: Callable[[Record, str], None] | None = None
    score: Callable[[Sequence[Record]], Score]
    measures: tuple[MeasureKind, ...]
    primary: str
    headline: tuple[str, ...]
    baseline: str | None = None
    baseline_meaning: str = ""
    definitions: Mapping[str, str]

    def credits(self, records: Sequence[Record]) -> NDArray[np.float64]:
        """Return what each example is worth by the primary measure (n,)."""
        kind = next(kind for kind in self.measures if kind.key == self.primary)
        assert kind.credits is not None
        return kind.credits(records)


MAJORITY = "majority answer"
MAJORITY_MEANING = "always giving the majority answer"


def _vqa_credits(*answer_types: str) -> Credits:
    def credits(records: Sequence[Record]) -> NDArray[np.float64]:
        return np.array(
            [vqa.credit(r) if r["answer_type"] in answer_types else np.nan for r in records],
            dtype=np.float64,
        )

    return credits


def _check_answer_type(record: Record, where: str) -> None:
    if record["answer_type"] not in ("OPEN", "CLOSED"):
        raise DataError(
            f"{where}: key 'answer_type' is {record['answer_type']!r}, must be OPEN or CLOSED"
        )


VQA = Group(
    name="vqa",
    title="visual question answering",
    tasks=("vqa",),
    items="questions",
    uses_image=True,
    # ``majority`` is empty where training has no question of that type, or no split.
    keys={
        **COMMON_KEYS,
        "question": str,
        "answer_type": str,
        "question_type": str,
        "majority": str,
    },
    check=_check_answer_type,
    score=vqa.score_vqa,
    measures=(
        MeasureKind(
            key="accuracy",
            label="accuracy",
            model=attrgetter("accuracy.overall"),
            baseline=attrgetter("majority.overall"),
            credits=_vqa_credits("OPEN", "CLOSED"),
        ),
        MeasureKind(
            key="accuracy_open",
            label="accuracy, open",
            model=attrgetter("accuracy.open"),
            baseline=attrgetter("majority.open"),
            credits=_vqa_credits("OPEN"),
        ),
        MeasureKind(
            key="accuracy_closed",
            label="accuracy, closed",
            model=attrgetter("accuracy.closed"),
            baseline=attrgetter("majority.closed"),
            credits=_vqa_credits("CLOSED"),
        ),
        MeasureKind(
            key="open_token_recall",
            label="open token recall",
            model=attrgetter("open_token_recall"),
        ),
        MeasureKind(key="weighted_f1", label="weighted F1", model=attrgetter("weighted_f1")),
    ),
    primary="accuracy",
    headline=("accuracy", "accuracy_open", "accuracy_closed"),
    baseline=MAJORITY,
    baseline_meaning=MAJORITY_MEANING,
    definitions=vqa.DEFINITIONS,
)


def _caption_score(records: Sequence[Record]) -> captioning.CaptioningScore:
    return captioning.score_captions(records, java=captioning.find_java())


def _caption_credits(records: Sequence[Record]) -> NDArray[np.float64]:
    return captioning.caption_rouge_l(records, java=captioning.find_java())


CAPTIONING = Group(
    name="captioning",
    title="image captioning",
    tasks=("captioning",),
    items="images",
    uses_image=True,
    keys=COMMON_KEYS,
    score=_caption_score,
    measures=(
        MeasureKind(key="cider_d", label="CIDEr-D", model=attrgetter("cider_d")),
        *(
            MeasureKind(key=f"bleu_{n}", label=f"BLEU-{n}", model=attrgetter(f"bleu_{n}"))
            for n in (1, 2, 3, 4)
        ),
        MeasureKind(
            key="rouge_l", label="ROUGE-L", model=attrgetter("rouge_l"), credits=_caption_credits
        ),
        MeasureKind(
            key="meteor",
            label="METEOR",
            model=attrgetter("meteor"),
            problem=attrgetter("meteor_problem"),
        ),
    ),
    primary="rouge_l",
    headline=("cider_d", "rouge_l", "meteor"),
    definitions=captioning.DEFINITIONS,
)


def _correct(records: Sequence[Record]) -> NDArray[np.float64]:
    return np.array([classification.is_correct(record) for record in records], dtype=np.float64)


def _check_class_scores(record: Record, where: str) -> None:
    if not isinstance(record.get("class_scores", {}), dict):
        raise DataError(f"{where}: key 'class_scores' must be an object of numbers by class")


def _closed(
    name: str, title: str, tasks: tuple[str, ...], *, items: str, uses_image: bool = False
) -> Group:
    """Return a group whose answers are classes."""
    return Group(
        name=name,
        title=title,
        tasks=tasks,
        items=items,
        uses_image=uses_image,
        keys={**COMMON_KEYS, "majority": str},
        check=_check_class_scores,
        score=classification.score_classification,
        measures=(
            MeasureKind(
                key="accuracy",
                label="accuracy",
                model=attrgetter("accuracy"),
                baseline=attrgetter("majority"),
                credits=_correct,
            ),
            MeasureKind(key="macro_f1", label="macro F1", model=attrgetter("macro_f1")),
            MeasureKind(key="weighted_f1", label="weighted F1", model=attrgetter("weighted_f1")),
            MeasureKind(
                key="auc", label="AUC", model=attrgetter("auc"), problem=attrgetter("auc_problem")
            ),
        ),
        primary="accuracy",
        headline=("accuracy", "macro_f1", "auc"),
        baseline=MAJORITY,
        baseline_meaning=MAJORITY_MEANING,
        definitions=classification.DEFINITIONS,
    )


SUMMARIZATION = Group(
    name="summarization",
    title="text summarization",
    tasks=("summarization",),
    items="summaries",
    uses_image=False,
    keys={**COMMON_KEYS, "source": str},
    score=summarization.score_summarization,
    measures=(
        MeasureKind(
            key="rouge_1",
            label="ROUGE-1",
            model=attrgetter("rouge.rouge_1"),
            baseline=attrgetter("first_sentence.rouge_1"),
        ),
        MeasureKind(
            key="rouge_2",
            label="ROUGE-2",
            model=attrgetter("rouge.rouge_2"),
            baseline=attrgetter("first_sentence.rouge_2"),
        ),
        MeasureKind(
            key="rouge_l",
            label="ROUGE-L",
            model=attrgetter("rouge.rouge_l"),
            baseline=attrgetter("first_sentence.rouge_l"),
            credits=summarization.summary_rouge_l,
        ),
    ),
    primary="rouge_l",
    headline=("rouge_l",),
    baseline="first sentence",
    baseline_meaning="giving the first sentence of the source",
    definitions=summarization.DEFINITIONS,
)

INSTRUCT = Group(
    name="instruct",
    title="answers to instructions",
    tasks=("instruction",),
    items="answers",
    uses_image=True,
    keys={**COMMON_KEYS, "instruction": str, "history": str, "modality": str},
    score=instruct.score_instruct,
    measures=(
        MeasureKind(
            key="token_f1",
            label="word F1",
            model=attrgetter("token_f1"),
            credits=instruct.word_f1,
        ),
        MeasureKind(key="token_recall", label="word recall", model=attrgetter("token_recall")),
        MeasureKind(key="exact", label="exact", model=attrgetter("exact")),
    ),
    primary="token_f1",
    headline=("token_f1", "exact"),
    definitions=instruct.DEFINITIONS,
)

GROUPS: Mapping[str, Group] = {
    group.name: group
    for group in (
        VQA,
        CAPTIONING,
        _closed(
            "classification",
            "image classification",
            ("classification",),
            items="examples",
            uses_image=True,
        ),
        SUMMARIZATION,
        _closed(
            "understanding",
            "text understanding",
            ("entailment", "trial_matching", "treatment_suggestion", "mortality"),
            items="examples",
        ),
        _closed(
            "question_answering", "question answering", ("question_answering",), items="questions"
        ),
        INSTRUCT,
    )
}
"""By name, in the order of the tables."""


def group_of_task(task: str) -> Group:
    """Return the group of a task of `biomedgpt.tasks`."""
    return next(group for group in GROUPS.values() if task in group.tasks)


def guess_group(record: Record) -> Group:
    """Return the group that a line of a prediction file is of, going by its keys.

    The lines of image classification and of text understanding have the same keys, and the same
    scores: both give the former.
    """
    for name, key in (
        ("vqa", "answer_type"),
        ("instruct", "instruction"),
        ("summarization", "source"),
        ("question_answering", "question"),
        ("classification", "majority"),
    ):
        if key in record:
            return GROUPS[name]
    return CAPTIONING
