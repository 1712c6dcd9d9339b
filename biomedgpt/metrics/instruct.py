"""Measures of free answers to instructions: words in common with the reference, exact answers."""

from collections import Counter
from collections.abc import Callable

from biomedgpt.metrics.measures import Examples, per_record
from biomedgpt.metrics.normalize import accepted_answers, answer_words, normalize_answer


def token_f1(prediction: str, reference: str) -> tuple[float, float]:
    """Return F1 and recall of the words in common.

    >>> token_f1("a small nodule", "A nodule.")
    (0.8, 1.0)
    """
    said, wanted = Counter(answer_words(prediction)), Counter(answer_words(reference))
    common = (said & wanted).total()
    if not common:
        return 0.0, 0.0
    return 2 * common / (said.total() + wanted.total()), common / wanted.total()


def best_of(value: Callable[[str, str], float]) -> Examples:
    """Return a measure of prediction and reference per answer; of several references the best."""
    return per_record(
        lambda record: max(
            value(record["prediction"], answer) for answer in accepted_answers(record)
        )
    )


word_f1 = best_of(lambda prediction, answer: token_f1(prediction, answer)[0])
word_recall = best_of(lambda prediction, answer: token_f1(prediction, answer)[1])
exact = best_of(
    lambda prediction, answer: float(normalize_answer(prediction) == normalize_answer(answer))
)
