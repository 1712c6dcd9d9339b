"""Free answers to instructions: words in common with the reference, and exact answers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from biomedgpt.metrics.bootstrap import RESAMPLES, SEED, Estimate, bootstrap_mean
from biomedgpt.metrics.normalize import NORMALISATION, answer_words, normalize_answer
from biomedgpt.metrics.predictions import Record

SCORER = "instruct-1.0"
DEFINITIONS = {
    "word F1": (
        "harmonic mean of the shares of the prediction's and of the reference's words that are in "
        "the other, each word as often as it occurs; mean over answers, of several references the "
        "best"
    ),
    "word recall": "share of the reference's words that are in the prediction; likewise",
    "exact": "share of answers that are the reference",
    "interval": "95 % percentile bootstrap over answers",
}


@dataclass(frozen=True, kw_only=True)
class InstructScore:
    """Score of one prediction file."""

    token_f1: Estimate
    token_recall: Estimate
    exact: Estimate
    scorer: str = SCORER
    normalisation: str = NORMALISATION

    def to_dict(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class InstructCounts:
    """Sums over answers, which add up over batches and processes."""

    n: int = 0
    token_f1: float = 0.0
    exact: float = 0.0

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """Return the sums over ``records``, lines as in a prediction file."""
        records = list(records)
        f1, _, exact = _values(records).sum(axis=0).tolist()
        return cls(n=len(records), token_f1=f1, exact=exact)


def token_f1(prediction: str, reference: str) -> tuple[float, float]:
    """Return F1 and recall of words; see `DEFINITIONS`.

    >>> token_f1("a small nodule", "A nodule.")
    (0.8, 1.0)
    """
    said, wanted = Counter(answer_words(prediction)), Counter(answer_words(reference))
    common = (said & wanted).total()
    if not common:
        return 0.0, 0.0
    return 2 * common / (said.total() + wanted.total()), common / wanted.total()


def word_f1(records: Sequence[Record]) -> NDArray[np.float64]:
    """Return the word F1 of each answer (n,)."""
    return _values(records)[:, 0]


def score_instruct(
    records: Sequence[Record], *, resamples: int = RESAMPLES, seed: int = SEED
) -> InstructScore:
    """Return the score of ``records``, lines as in a prediction file, in any order."""
    f1, recall, exact = (
        bootstrap_mean(column, resamples=resamples, seed=seed) for column in _values(records).T
    )
    return InstructScore(token_f1=f1, token_recall=recall, exact=exact)


def _values(records: Sequence[Record]) -> NDArray[np.float64]:
    """Return word F1, word recall and whether it is exact, per answer (n, 3)."""
    values = np.zeros((len(records), 3))
    for row, record in zip(values, records, strict=True):
        answers = [one["answer"] for one in record["references"]] or [record["reference"]]
        prediction = record["prediction"]
        for answer in answers:
            f1, recall = token_f1(prediction, answer)
            exact = normalize_answer(prediction) == normalize_answer(answer)
            row[:] = np.maximum(row, [f1, recall, exact])
    return values
