"""Cutting texts into passages of a bounded number of words."""

import re
from collections.abc import Iterable

_SENTENCE_END = re.compile(r"[.!?][\"')\]]*$")


def cut(paragraphs: Iterable[str], max_words: int) -> list[str]:
    """Return passages of at most ``max_words`` words that hold all paragraphs in order.

    Short paragraphs share a passage. One that does not fit as a whole is cut behind a sentence
    where there is one in the second half of the passage, else between two words.
    """
    passages: list[str] = []
    current: list[str] = []
    for paragraph in paragraphs:
        words = paragraph.split()
        if current and len(current) + len(words) > max_words:
            passages.append(" ".join(current))
            current = []
        while len(words) > max_words:
            end = _sentence_end(words, max_words)
            passages.append(" ".join(words[:end]))
            words = words[end:]
        current += words
    if current:
        passages.append(" ".join(current))
    return passages


def _sentence_end(words: list[str], max_words: int) -> int:
    """Return how many words to take: up to the last sentence end of the second half, or all."""
    for end in range(max_words, max_words // 2, -1):
        if _SENTENCE_END.search(words[end - 1]):
            return end
    return max_words
