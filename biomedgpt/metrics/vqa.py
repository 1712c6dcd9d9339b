"""Measures of visual question answering."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biomedgpt.metrics.measures import Examples, Record, Statistics, per_record
from biomedgpt.metrics.normalize import answer_words, normalize_answer
from biomedgpt.metrics.optional import load_extra

OPEN = "OPEN"
CLOSED = "CLOSED"
"""Types of answers."""


def credit(record: Record) -> float:
    """Return the confidence (0 to 1) of the reference that equals the prediction, else 0.

    Whole strings are compared after normalisation, so "normal" is not "no"; an empty prediction
    is wrong. Without ``references`` the ``reference`` counts with confidence 1.
    """
    answer = normalize_answer(record["prediction"])
    if not answer:
        return 0.0
    references = record["references"] or [{"answer": record["reference"], "confidence": 1.0}]
    equal = [one for one in references if normalize_answer(one["answer"]) == answer]
    return max((float(one["confidence"]) for one in equal), default=0.0)


def token_recall(prediction: str, reference: str) -> float:
    """Return the share of the distinct words of ``reference`` found in ``prediction``.

    This is the measure LLaVA-Med reports for open questions, with the words as
    :func:`~biomedgpt.metrics.normalize.answer_words` splits them.
    """
    wanted = set(answer_words(reference))
    return len(wanted & set(answer_words(prediction))) / len(wanted)


credits = per_record(credit)
recalls = per_record(lambda record: token_recall(record["prediction"], record["reference"]))


def of_type(answer_type: str, examples: Examples) -> Examples:
    """Return a measure that is about the questions of one type only."""

    def values(records: Sequence[Record]) -> NDArray[np.float64]:
        chosen = [record["answer_type"] == answer_type for record in records]
        return np.where(chosen, examples(records), np.nan)

    return values


def weighted_f1(records: Sequence[Record]) -> Statistics:
    """Return F1 of each distinct reference answer taken as a class, weighted by its frequency.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    # Seconds to import, which answering a question should not wait for.
    f1_score = load_extra("sklearn.metrics", package="scikit-learn", extra="report").f1_score
    actual = np.array([normalize_answer(record["reference"]) for record in records])
    predicted = np.array([normalize_answer(record["prediction"]) for record in records])
    return lambda chosen: [
        f1_score(actual[chosen], predicted[chosen], average="weighted", zero_division=0.0)
    ]
