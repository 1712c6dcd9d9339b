"""Measures of tasks with a closed set of classes: image classification, entailment and others."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biomedgpt.errors import DataError
from biomedgpt.metrics.measures import NotMeasured, Record, Statistics, per_record
from biomedgpt.metrics.normalize import normalize_answer


def is_correct(record: Record) -> bool:
    """Say whether the prediction equals the reference; an empty one never does."""
    answer = normalize_answer(record["prediction"])
    return bool(answer) and answer == normalize_answer(record["reference"])


correct = per_record(is_correct)


def support(records: Sequence[Record]) -> dict[str, int]:
    """Return how often each class is the reference."""
    return dict(sorted(Counter(normalize_answer(one["reference"]) for one in records).items()))


def f1(records: Sequence[Record]) -> Statistics:
    """Return macro and weighted F1, see `f1_scores`."""
    numbers = {name: number for number, name in enumerate(support(records))}
    actual, predicted = (
        np.array([numbers.get(normalize_answer(record[key]), -1) for record in records])
        for key in ("reference", "prediction")
    )
    return lambda chosen: f1_scores(actual[chosen], predicted[chosen])


def auc(records: Sequence[Record]) -> Statistics:
    """Return the area under the ROC curve of the difference of two class scores.

    It needs the key ``class_scores``, an object of one number per class, higher for more likely,
    on any scale (log-probabilities say).

    Raises:
        NotMeasured: not two classes, no class scores, or one class only.
        DataError: two classes whose scores are incomplete, not finite, or not about the reference.
    """
    references = [normalize_answer(record["reference"]) for record in records]
    problem = "predictions without class scores" if len(set(references)) == 2 else ""
    if not all(record.get("class_scores") for record in records):
        raise NotMeasured(problem)
    names = sorted(records[0]["class_scores"])
    if len(names) != 2:
        raise NotMeasured(problem)
    margins = [_margin(record, names) for record in records]
    positive = np.array([name == normalize_answer(names[1]) for name in references])
    if positive.all() or not positive.any():
        raise NotMeasured("one class only")
    _, levels = np.unique(margins, return_inverse=True)
    return lambda chosen: [auc_score(positive[chosen], levels[chosen])]


def f1_scores(actual: NDArray[np.int64], predicted: NDArray[np.int64]) -> tuple[float, float]:
    """Return macro and weighted F1 over the classes that occur in ``actual``.

    A class that is never found counts as 0.
    These are scikit-learn's (a test holds them equal), computed from counts: its own take ten
    milliseconds or more, with a thousand resamples a minute where all else takes seconds.

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


def _margin(record: Record, names: Sequence[str]) -> float:
    """Return how much the score of the second of two classes exceeds that of the first."""
    scores, where = record["class_scores"], f"example {record['id']!r}"
    if sorted(scores) != names:
        raise DataError(
            f"{where}: key 'class_scores' has other classes than {' and '.join(names)}; "
            "write the predictions anew"
        )
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in scores.values()):
        raise DataError(f"{where}: key 'class_scores' must hold finite numbers")
    if normalize_answer(record["reference"]) not in map(normalize_answer, names):
        raise DataError(
            f"{where}: reference {record['reference']!r} is not among the classes of "
            f"'class_scores' ({' and '.join(map(normalize_answer, names))})"
        )
    return float(scores[names[1]] - scores[names[0]])


def auc_score(positive: NDArray[np.bool_], levels: NDArray[np.int64]) -> float:
    """Return the area under the ROC curve, NaN without a positive or a negative example.

    It is the share of pairs of a positive and a negative example in which the positive one has
    the higher score, equal scores counting half: scikit-learn's, see `f1_scores`, but for its
    rounding.

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
