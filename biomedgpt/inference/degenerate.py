"""Noticing output that is no answer: a loop, a text without an end, nothing at all."""

from collections import Counter
from collections.abc import Hashable, Sequence

LEAST_WORDS = 3
"""Times that the same words must follow each other to be a loop."""
LEAST_TOKENS = 4
"""The same for tokens, which rightly repeat in numbers such as 1,000,000."""
LEAST_TOKENS_COVERED = 8
PHRASE = 4
"""Words that do not occur three times in a text that says something."""
LEAST_PHRASES = 3
_MOST_QUOTED = 60


def find_problems(
    text: str, tokens: Sequence[int], *, max_len: int, finite: bool = True
) -> tuple[str, ...]:
    """Return what is wrong with generated text, one sentence each.

    Args:
        text: the answer.
        tokens: its ids, without the end of sequence.
        max_len: most tokens that were allowed.
        finite: whether the search found anything at all.
    """
    if not finite:
        return (
            "no answer: the model's output is not a number; its weights are damaged, or too "
            "large for this data type (try dtype float32)",
        )
    problems = []
    if not text.strip():
        problems.append("the answer is empty")
    if (loop := find_loop(text, tokens)) is not None:
        problems.append(f"the answer goes round in circles: {loop}")
    if len(tokens) >= max_len:
        problems.append(f"the answer was cut off at the limit of {max_len} tokens")
    return tuple(problems)


def find_loop(text: str, tokens: Sequence[int]) -> str | None:
    """Say what is repeated again and again in a text; None if nothing is.

    A loop is the same word, or run of words, three times in a row; the same four words three times
    anywhere; or the same tokens four times in a row, which catches loops without spaces.
    """
    words = text.lower().split()
    start, times, size = _repeated(words)
    if times >= LEAST_WORDS:
        return _describe(words[start : start + size], times)
    phrases = Counter(tuple(words[i : i + PHRASE]) for i in range(len(words) - PHRASE + 1))
    for phrase, times in phrases.most_common(1):
        if times >= LEAST_PHRASES:
            return _describe(phrase, times)
    _, times, size = _repeated(tokens)
    if times >= LEAST_TOKENS and times * size >= LEAST_TOKENS_COVERED:
        return f"a run of {size} tokens stands there {times} times"
    return None


def _repeated(items: Sequence[Hashable]) -> tuple[int, int, int]:
    """Return start, times and size of the run that stands there most often, one after another."""
    best = (0, 1, len(items))
    for size in range(1, len(items) // 2 + 1):
        same = 0  # items in a row that equal the one ``size`` before
        for index in range(size, len(items)):
            same = same + 1 if items[index] == items[index - size] else 0
            times = same // size + 1
            if times > best[1]:
                best = (index - same - size + 1, times, size)
    return best


def _describe(words: Sequence[str], times: int) -> str:
    quoted = " ".join(words)
    if len(quoted) > _MOST_QUOTED:
        quoted = quoted[:_MOST_QUOTED] + "..."
    return f'"{quoted}" stands there {times} times'
