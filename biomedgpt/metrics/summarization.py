"""ROUGE of summaries, beside that of the source's first sentence.

Predictions and references are scored as they are: nothing is masked or replaced before the
rouge-score package sees them (:data:`NORMALISATION` says what that package does).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from biomedgpt.metrics.bootstrap import RESAMPLES, SEED, Estimate, bootstrap_mean
from biomedgpt.metrics.extra import load_extra
from biomedgpt.metrics.predictions import Record

SCORER = "summarization-1.0"
NORMALISATION = (
    "predictions and references lower-cased, split at all but the letters a to z and digits, words "
    "of more than three characters Porter-stemmed (rouge-score, use_stemmer=True); nothing else"
)
DEFINITIONS = {
    "ROUGE": (
        "F1 of words (ROUGE-1), of pairs of words (ROUGE-2), of the longest common subsequence "
        "(ROUGE-L), mean over summaries; of several references the best counts, for each measure "
        "by itself"
    ),
    "first sentence": (
        "gives the source up to the first line break, or the first '.', '!' or '?' before white "
        "space"
    ),
    "interval": "95 % percentile bootstrap over summaries",
}
ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\s*\n\s*")


@dataclass(frozen=True, kw_only=True)
class Rouge:
    """ROUGE F1, from 0 to 1."""

    rouge_1: Estimate
    rouge_2: Estimate
    rouge_l: Estimate


@dataclass(frozen=True, kw_only=True)
class SummarizationScore:
    """Score of one prediction file; ``first_sentence`` has no values without the sources."""

    rouge: Rouge
    first_sentence: Rouge
    scorer: str = SCORER
    normalisation: str = NORMALISATION

    def to_dict(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class SummarizationCounts:
    """Sums of F1 over summaries, which add up over batches and processes."""

    n: int = 0
    rouge_1: float = 0.0
    rouge_2: float = 0.0
    rouge_l: float = 0.0

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """Return the sums over ``records``, lines as in a prediction file."""
        records = list(records)
        sums = rouge_f1([r["prediction"] for r in records], [_references(r) for r in records])
        rouge_1, rouge_2, rouge_l = sums.sum(axis=0).tolist()
        return cls(n=len(records), rouge_1=rouge_1, rouge_2=rouge_2, rouge_l=rouge_l)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            n=self.n + other.n,
            rouge_1=self.rouge_1 + other.rouge_1,
            rouge_2=self.rouge_2 + other.rouge_2,
            rouge_l=self.rouge_l + other.rouge_l,
        )


def rouge_f1(
    predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> NDArray[np.float64]:
    """Return the F1 of each prediction, (n, 3), by the columns of :data:`ROUGE_TYPES`.

    Args:
        predictions: one text each.
        references: one or more texts each.

    Raises:
        ConfigError: rouge-score is not installed.
    """
    scorer = load_extra("rouge_score.rouge_scorer", package="rouge-score").RougeScorer(
        ROUGE_TYPES, use_stemmer=True
    )
    values = np.zeros((len(predictions), len(ROUGE_TYPES)))
    for row, prediction, texts in zip(values, predictions, references, strict=True):
        best = scorer.score_multi(texts, prediction)
        row[:] = [best[name].fmeasure for name in ROUGE_TYPES]
    return values


def summary_rouge_l(records: Sequence[Record]) -> NDArray[np.float64]:
    """Return ROUGE-L of each summary (n,)."""
    values = rouge_f1([r["prediction"] for r in records], [_references(r) for r in records])
    return values[:, ROUGE_TYPES.index("rougeL")]


def first_sentence(source: str) -> str:
    """Return the first sentence as :data:`DEFINITIONS` says; no sentence is recognised as such.

    >>> first_sentence("Dose of 2.5 mg? My dog ate it.")
    'Dose of 2.5 mg?'
    """
    return _SENTENCE_END.split(source.strip(), maxsplit=1)[0]


def score_summarization(
    records: Sequence[Record], *, resamples: int = RESAMPLES, seed: int = SEED
) -> SummarizationScore:
    """Return the score of ``records``, lines as in a prediction file, in any order.

    The baseline needs the key ``source``, the whole text, in every record.

    Raises:
        ConfigError: rouge-score is not installed.
    """
    references = [_references(record) for record in records]

    def rouge(texts: Sequence[str]) -> Rouge:
        values = rouge_f1(texts, references)  # (n, 3)
        one, two, longest = (
            bootstrap_mean(column, resamples=resamples, seed=seed) for column in values.T
        )
        return Rouge(rouge_1=one, rouge_2=two, rouge_l=longest)

    unknown = Estimate(value=None, n=len(records))
    baseline = Rouge(rouge_1=unknown, rouge_2=unknown, rouge_l=unknown)
    if records and all("source" in record for record in records):
        baseline = rouge([first_sentence(record["source"]) for record in records])
    return SummarizationScore(
        rouge=rouge([record["prediction"] for record in records]), first_sentence=baseline
    )


def _references(record: Record) -> list[str]:
    answers = [reference["answer"] for reference in record["references"]]
    return answers or [record["reference"]]
