"""What is done to an answer before it is compared, stated in words and in code."""

import string

from biomedgpt.metrics.measures import Record

NORMALISATION = (
    "lower-cased, stripped, white space collapsed, '.' and '?' at the end removed; nothing else"
)
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
NUMBER_WORDS = tuple(_WORDS.split())
"""Whole numbers from zero on."""


def normalize_answer(text: str) -> str:
    """Return ``text`` as :data:`NORMALISATION` says; whole strings are compared, never parts.

    >>> normalize_answer("  Right  Lung. ")
    'right lung'
    """
    return " ".join(text.lower().split()).rstrip(".? ")


def answer_words(text: str) -> list[str]:
    """Return the words of a normalised answer, punctuation stripped from both ends of each.

    A word that is nothing but punctuation ("+") is kept as it is.
    """
    return [word.strip(string.punctuation) or word for word in normalize_answer(text).split()]


def accepted_answers(record: Record) -> tuple[str, ...]:
    """Return all references of a line, or the only one."""
    return tuple(one["answer"] for one in record["references"]) or (record["reference"],)
