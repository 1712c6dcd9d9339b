"""Masking of text in whole words (BART, arXiv 1910.13461, "text infilling").

Spans of words, their lengths drawn from a Poisson distribution, are each replaced by one
``<mask>``; a span of length zero is a ``<mask>`` put between two words. The reference draws where
spans begin and lets them overlap, which masks fewer words than asked for; here the spans are
placed among the words that stay, so that their number is exact.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biomedgpt.vocabulary import Vocabulary


def word_starts(vocabulary: Vocabulary) -> NDArray[np.bool_]:
    """Say which text entries begin a word, that is, with a space; (entries of the vocabulary,)."""
    starts = np.zeros(len(vocabulary), dtype=np.bool_)
    for i in vocabulary.text_ids:
        starts[i] = vocabulary.decode_text([i]).startswith(" ")
    return starts


def split_words(ids: Sequence[int], starts: NDArray[np.bool_]) -> list[list[int]]:
    """Group text entries into words; the first word begins with the first entry."""
    words: list[list[int]] = []
    for i in ids:
        if starts[i] or not words:
            words.append([])
        words[-1].append(i)
    return words


def mask_words(
    words: Sequence[Sequence[int]],
    *,
    mask: int,
    ratio: float,
    span_length: float,
    rng: np.random.Generator,
) -> list[int]:
    """Return the ids of ``words`` with spans of them masked.

    The result is never longer than what it is made from: spans of length zero are left out where
    there are more of them than others save.

    Args:
        words: ids of each word.
        mask: id of ``<mask>``.
        ratio: share of the words to mask, rounded up.
        span_length: mean of the Poisson distribution.
        rng: the result depends on nothing else.
    """
    budget = math.ceil(len(words) * ratio)
    spans = _span_lengths(budget, span_length, rng)
    kept = len(words) - budget
    order = rng.permutation(kept + len(spans))
    ids: list[int] = []
    position = 0
    for item in order:
        if item < kept:
            ids += words[position]
            position += 1
        else:
            ids.append(mask)
            position += spans[item - kept]
    return ids


def _span_lengths(budget: int, mean: float, rng: np.random.Generator) -> list[int]:
    """Draw lengths that add up to ``budget``; with zeros, there are at most ``budget``."""
    lengths, empty, left = [], 0, budget
    while left > 0:
        length = min(int(rng.poisson(mean)), left)
        if length == 0:
            empty += 1
        else:
            lengths.append(length)
            left -= length
    return lengths + [0] * min(empty, budget - len(lengths))
