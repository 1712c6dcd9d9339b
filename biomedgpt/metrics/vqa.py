"""Scores of visual question answering.

The same functions serve validation during training and the script in `evaluation/`.
Sums (:class:`VqaCounts`) add up over batches and processes; :func:`score_vqa` adds intervals,
weighted F1 and the majority baseline to the very same per-question numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from biomedgpt.metrics.bootstrap import RESAMPLES, SEED, Estimate, bootstrap_mean
from biomedgpt.metrics.normalize import NORMALISATION, answer_words, normalize_answer
from biomedgpt.metrics.predictions import Record

SCORER = "vqa-1.0"
DEFINITIONS = {
    "accuracy": (
        "mean confidence of the reference that equals the whole prediction after normalisation, "
        "0 where none does"
    ),
    "token recall": (
        "share of the reference's distinct words found among the prediction's words, mean over "
        "open questions; words are split at white space, punctuation at their ends removed"
    ),
    "weighted F1": (
        "F1 of each distinct reference answer taken as a class, weighted by how often it is the "
        "reference (scikit-learn, average='weighted')"
    ),
    "majority answer": (
        "always answers with the commonest training answer of the question's type; a type "
        "without one is answered wrongly"
    ),
    "interval": "95 % percentile bootstrap over questions",
}


@dataclass(frozen=True, kw_only=True)
class Accuracies:
    """Accuracy over all questions and over each answer type (or differences of accuracies)."""

    overall: Estimate
    open: Estimate
    closed: Estimate


@dataclass(frozen=True, kw_only=True)
class VqaScore:
    """Score of one prediction file; ``majority`` values are None without a training split."""

    accuracy: Accuracies
    open_token_recall: Estimate
    weighted_f1: Estimate
    majority: Accuracies
    scorer: str = SCORER
    normalisation: str = NORMALISATION

    def to_dict(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, for JSON."""
        return asdict(self)


@dataclass(kw_only=True)
class VqaCounts:
    """Sums over questions, which add up over batches and processes."""

    open_n: int = 0
    open_credit: float = 0.0
    open_recall: float = 0.0
    closed_n: int = 0
    closed_credit: float = 0.0

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """Return the sums over ``records``, lines as in a prediction file."""
        counts = cls()
        for record in records:
            if record["answer_type"] == "OPEN":
                counts.open_n += 1
                counts.open_credit += credit(record)
                counts.open_recall += token_recall(record["prediction"], record["reference"])
            else:
                counts.closed_n += 1
                counts.closed_credit += credit(record)
        return counts

    def __add__(self, other: Self) -> Self:
        return type(self)(
            **{
                field.name: getattr(self, field.name) + getattr(other, field.name)
                for field in fields(self)
            }
        )

    def accuracies(self) -> dict[str, float]:
        """Return the means by name (overall, open, closed, open_token_recall) that exist."""
        sums = {
            "overall": (self.open_credit + self.closed_credit, self.open_n + self.closed_n),
            "open": (self.open_credit, self.open_n),
            "closed": (self.closed_credit, self.closed_n),
            "open_token_recall": (self.open_recall, self.open_n),
        }
        return {name: total / n for name, (total, n) in sums.items() if n}


def credit(record: Record, *, prediction: str | None = None) -> float:
    """Return the confidence (0 to 1) of the reference that equals the prediction, else 0.

    Whole strings are compared after normalisation, so "normal" is not "no"; an empty prediction
    is wrong. Without ``references`` the ``reference`` counts with confidence 1.

    Args:
        record: a line as in a prediction file.
        prediction: judged instead of the record's own, for baselines.
    """
    answer = normalize_answer(record["prediction"] if prediction is None else prediction)
    if not answer:
        return 0.0
    references = record["references"] or [{"answer": record["reference"], "confidence": 1.0}]
    return max(
        (
            float(reference["confidence"])
            for reference in references
            if normalize_answer(reference["answer"]) == answer
        ),
        default=0.0,
    )


def token_recall(prediction: str, reference: str) -> float:
    """Return the share of the distinct words of ``reference`` found in ``prediction``.

    This is the measure LLaVA-Med reports for open questions, with the words as
    :func:`~biomedgpt.metrics.normalize.answer_words` splits them.
    """
    wanted = set(answer_words(reference))
    return len(wanted & set(answer_words(prediction))) / len(wanted)


def weighted_f1(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Return the weighted F1 over normalised answer strings (see :data:`DEFINITIONS`)."""
    # Seconds to import, which answering a question should not wait for.
    from sklearn.metrics import f1_score

    return float(
        f1_score(
            [normalize_answer(text) for text in references],
            [normalize_answer(text) for text in predictions],
            average="weighted",
            zero_division=0.0,
        )
    )


def score_vqa(
    records: Sequence[Record], *, resamples: int = RESAMPLES, seed: int = SEED
) -> VqaScore:
    """Return the score of ``records``, lines as in a prediction file, in any order.

    The intervals depend on ``seed`` and the order of the records, the values do not.
    """
    is_open = _is_open(records)
    recalls = np.array(
        [
            token_recall(record["prediction"], record["reference"])
            for record in records
            if record["answer_type"] == "OPEN"
        ],
        dtype=np.float64,
    )
    n = len(records)
    f1 = (
        weighted_f1([r["prediction"] for r in records], [r["reference"] for r in records])
        if n
        else None
    )
    if any(record["majority"] for record in records):
        majority = _accuracies(
            np.array([credit(r, prediction=r["majority"]) for r in records], dtype=np.float64),
            is_open,
            resamples=resamples,
            seed=seed,
        )
    else:
        majority = Accuracies(
            overall=Estimate(value=None, n=n),
            open=Estimate(value=None, n=int(is_open.sum())),
            closed=Estimate(value=None, n=int((~is_open).sum())),
        )
    return VqaScore(
        accuracy=_accuracies(_credits(records), is_open, resamples=resamples, seed=seed),
        open_token_recall=bootstrap_mean(recalls, resamples=resamples, seed=seed),
        weighted_f1=Estimate(value=f1, n=n),
        majority=majority,
    )


def _is_open(records: Sequence[Record]) -> NDArray[np.bool_]:
    return np.array([record["answer_type"] == "OPEN" for record in records], dtype=np.bool_)


def _credits(records: Sequence[Record]) -> NDArray[np.float64]:
    return np.array([credit(record) for record in records], dtype=np.float64)


def _accuracies(
    values: NDArray[np.float64], is_open: NDArray[np.bool_], *, resamples: int, seed: int
) -> Accuracies:
    return Accuracies(
        overall=bootstrap_mean(values, resamples=resamples, seed=seed),
        open=bootstrap_mean(values[is_open], resamples=resamples, seed=seed),
        closed=bootstrap_mean(values[~is_open], resamples=resamples, seed=seed),
    )
