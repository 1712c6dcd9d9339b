"""Scores of tasks with a closed set of classes: image classification, entailment, multiple choice.

The same comparison serves validation (:class:`ClassificationCounts`, which adds up over batches
and processes) and the final score (:func:`score_classification`).
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from biomedgpt.errors import DataError
from biomedgpt.metrics.bootstrap import (
    RESAMPLES,
    SEED,
    Estimate,
    bootstrap_mean,
    bootstrap_statistics,
)
from biomedgpt.metrics.normalize import NORMALISATION, normalize_answer
from biomedgpt.metrics.predictions import Record

SCORER = "classification-1.0"
DEFINITIONS = {
    "accuracy": "share of predictions that equal the whole reference after normalisation",
    "macro F1": (
        "mean F1 over the classes that occur as a reference; a prediction that is no such class, "
        "an empty one included, misses its reference and forms no class of its own "
        "(as scikit-learn with labels=reference classes)"
    ),
    "weighted F1": "the same F1 values, weighted by how often each class is the reference",
    "AUC": (
        "area under the ROC curve of the difference of the two class scores, equal ones counting "
        "half (as scikit-learn); only for two classes, and if every prediction has their scores"
    ),
    "majority answer": "accuracy of always answering with the commonest training answer",
    "interval": "95 % percentile bootstrap over examples",
}


@dataclass(frozen=True, kw_only=True)
class ClassificationScore:
    """Score of one prediction file; ``auc`` and ``majority`` have no value where not known."""

    accuracy: Estimate
    macro_f1: Estimate
    weighted_f1: Estimate
    auc: Estimate
    majority: Estimate
    auc_problem: str | None
    """Why there is no AUC though there are two classes; None where there is nothing to say."""
    support: dict[str, int]
    """How often each class is the reference."""
    scorer: str = SCORER
    normalisation: str = NORMALISATION

    def to_dict(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ClassificationCounts:
    """Sums over examples, which add up over batches and processes."""

    n: int = 0
    correct: int = 0

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """Return the sums over ``records``, lines as in a prediction file."""
        hits = [is_correct(record) for record in records]
        return cls(n=len(hits), correct=sum(hits))

    def __add__(self, other: Self) -> Self:
        return type(self)(n=self.n + other.n, correct=self.correct + other.correct)

    def accuracy(self) -> float | None:
        """Return the share of correct predictions, or None without any example."""
        return self.correct / self.n if self.n else None


def is_correct(record: Record, *, prediction: str | None = None) -> bool:
    """Say whether the prediction equals the reference; an empty one never does.

    Args:
        record: a line as in a prediction file.
        prediction: judged instead of the record's own, for baselines.
    """
    answer = normalize_answer(record["prediction"] if prediction is None else prediction)
    return bool(answer) and answer == normalize_answer(record["reference"])


def score_classification(
    records: Sequence[Record], *, resamples: int = RESAMPLES, seed: int = SEED
) -> ClassificationScore:
    """Return the score of ``records``, lines as in a prediction file, in any order.

    Two keys are optional: ``majority``, the commonest training answer, and ``class_scores``, an
    object of one number per class, higher for more likely, on any scale (log-probabilities say).

    Raises:
        DataError: two classes whose scores are incomplete, not finite, or not about the reference.
    """
    n = len(records)
    references = [normalize_answer(record["reference"]) for record in records]
    support = dict(sorted(Counter(references).items()))
    options = {"resamples": resamples, "seed": seed}
    hits = np.array([is_correct(record) for record in records], dtype=np.float64)
    macro = weighted = auc = majority = Estimate(value=None, n=n)
    if n:
        numbers = {name: number for number, name in enumerate(support)}
        actual = np.array([numbers[name] for name in references])  # (n,)
        predicted = np.array(
            [numbers.get(normalize_answer(record["prediction"]), -1) for record in records]
        )  # (n,); -1 for what is no class
        macro, weighted = bootstrap_statistics(
            lambda chosen: f1_scores(actual[chosen], predicted[chosen]), n, **options
        )
    auc_problem = "predictions without class scores" if len(support) == 2 else None
    if n and all(record.get("class_scores") for record in records):
        positive, margins = _margins(records, references)
        if len(margins):
            _, levels = np.unique(margins, return_inverse=True)
            (auc,) = bootstrap_statistics(
                lambda chosen: [auc_score(positive[chosen], levels[chosen])], n, **options
            )
            auc_problem = "one class only" if auc.value is None else None
    if any(record.get("majority") for record in records):
        baseline = [is_correct(record, prediction=record["majority"]) for record in records]
        majority = bootstrap_mean(np.array(baseline, dtype=np.float64), **options)
    return ClassificationScore(
        accuracy=bootstrap_mean(hits, **options),
        macro_f1=macro,
        weighted_f1=weighted,
        auc=auc,
        auc_problem=auc_problem,
        majority=majority,
        support=support,
    )


def f1_scores(actual: NDArray[np.int64], predicted: NDArray[np.int64]) -> tuple[float, float]:
    """Return macro and weighted F1 over the classes that occur in ``actual``.

    These are scikit-learn's, computed from counts: its own take milliseconds, too long for a
    thousand resamples.

    Args:
        actual: class numbers from 0 (n,), n at least 1.
        predicted: class numbers (n,); -1 for what is no class.
    """
    size = max(int(actual.max()), int(predicted.max())) + 1
    support = np.bincount(actual, minlength=size)
    found = np.bincount(predicted[predicted >= 0], minlength=size)
    correct = np.bincount(actual[actual == predicted], minlength=size)
    there = support > 0
    f1 = 2 * correct[there] / (support + found)[there]
    return float(f1.mean()), float(np.average(f1, weights=support[there]))


def _margins(
    records: Sequence[Record], references: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which references are the second class, and how much its score exceeds the other.

    Both are empty unless there are exactly two classes.
    """
    names = sorted(records[0]["class_scores"])
    if len(names) != 2:
        return np.empty(0, dtype=np.bool_), np.empty(0)
    classes = [normalize_answer(name) for name in names]
    margins = []
    for record, reference in zip(records, references, strict=True):
        scores, where = record["class_scores"], f"example {record['id']!r}"
        if sorted(scores) != names:
            raise DataError(
                f"{where}: key 'class_scores' has other classes than {' and '.join(names)}; "
                "write the predictions anew"
            )
        if not all(_is_number(scores[name]) for name in names):
            raise DataError(f"{where}: key 'class_scores' must hold finite numbers")
        if reference not in classes:
            raise DataError(
                f"{where}: reference {record['reference']!r} is not among the classes of "
                f"'class_scores' ({' and '.join(names)})"
            )
        margins.append(scores[names[1]] - scores[names[0]])
    return np.array([name == classes[1] for name in references]), np.array(margins)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def auc_score(positive: NDArray[np.bool_], levels: NDArray[np.int64]) -> float:
    """Return the area under the ROC curve, NaN without a positive or a negative example.

    It is the share of pairs of a positive and a negative example in which the positive one has
    the higher score, equal scores counting half.

    Args:
        positive: whether an example is of the class looked for (n,).
        levels: scores as ranks from 0 (n,), equal ones with the same rank.
    """
    size = int(levels.max()) + 1
    positives = np.bincount(levels[positive], minlength=size)
    negatives = np.bincount(levels[~positive], minlength=size)
    pairs = int(positives.sum()) * int(negatives.sum())
    if not pairs:
        return math.nan
    lower = np.cumsum(negatives) - negatives
    return float(np.dot(positives, lower + negatives / 2) / pairs)
