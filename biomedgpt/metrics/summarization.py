"""ROUGE of summaries.

Predictions and references are scored as they are: nothing is masked or replaced before the
rouge-score package sees them (:data:`NORMALISATION` says what that package does).
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from biomedgpt.metrics.measures import Examples, Record
from biomedgpt.metrics.normalize import accepted_answers
from biomedgpt.metrics.optional import load_extra

NORMALISATION = (
    "predictions and references lower-cased, split at all but the letters a to z and digits, words "
    "of more than three characters Porter-stemmed (rouge-score, use_stemmer=True); nothing else"
)
ROUGE_TYPES = ("rouge1", "rouge2", "rougeL")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\s*\n\s*")


def rouge(kind: str) -> Examples:
    """Return F1 of one of :data:`ROUGE_TYPES` per summary; of several references the best counts.

    Raises (when it is called):
        ConfigError: rouge-score is not installed.
    """
    column = ROUGE_TYPES.index(kind)

    def values(records: Sequence[Record]) -> NDArray[np.float64]:
        predictions = tuple(record["prediction"] for record in records)
        return _rouge_f1(predictions, tuple(map(accepted_answers, records)))[:, column]

    return values


# The three measures of one file are one pass over its texts.
@lru_cache(maxsize=4)
def _rouge_f1(
    predictions: tuple[str, ...], references: tuple[tuple[str, ...], ...]
) -> NDArray[np.float64]:
    """Return the F1 of each prediction, (n, 3), by the columns of :data:`ROUGE_TYPES`."""
    module = load_extra("rouge_score.rouge_scorer", package="rouge-score")
    scorer = module.RougeScorer(ROUGE_TYPES, use_stemmer=True)
    values = np.zeros((len(predictions), len(ROUGE_TYPES)))
    for row, prediction, texts in zip(values, predictions, references, strict=True):
        best = scorer.score_multi(texts, prediction)
        row[:] = [best[name].fmeasure for name in ROUGE_TYPES]
    values.flags.writeable = False
    return values


def first_sentence(source: str) -> str:
    """Return a text up to its first line break, or sentence mark before white space.

    >>> first_sentence("Dose of 2.5 mg? My dog ate it.")
    'Dose of 2.5 mg?'
    """
    return _SENTENCE_END.split(source.strip(), maxsplit=1)[0]
