"""Runs of words that texts share, found among many texts through a table of hashes.

The usual rule for test texts in training data: a run of 13 words in common (Brown et al., "Language
Models are Few-Shot Learners", 2020, appendix C), or 70 % of the runs of 8 words of the test text
(Chowdhery et al., "PaLM", 2022, section 8). Words are runs of letters and digits, without case.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that its powers lose no bits
SHORTEST = 8
"""Words of the shortest test text that is looked for; those below ``n`` words are looked for as a
whole."""


@dataclass(frozen=True)
class Overlap:
    """Runs of words that a text shares with a test text."""

    text: int
    """Number of the test text."""
    share: float
    """Of its runs that were found."""
    words: str
    """The first run in common."""


def split_words(text: str) -> list[str]:
    """Return the words that runs are made of."""
    return _WORD.findall(text.casefold())


class NgramIndex:
    """Runs of ``n`` words of all test texts.

    Args:
        texts: test texts; those of fewer than `SHORTEST` words are passed over.
        n: words of a run; at least `SHORTEST`.
        share: of a test text's runs that a text must hold; 0: one is enough.
    """

    def __init__(self, texts: Iterable[str], *, n: int, share: float) -> None:
        self.share = share
        runs: dict[int, list[NDArray[np.uint64]]] = {}
        owners: dict[int, list[NDArray[np.int32]]] = {}
        totals = []
        for number, text in enumerate(texts):
            words = split_words(text)
            totals.append(0)
            length = min(n, len(words))
            if length >= SHORTEST:
                found = np.unique(_runs(words, (length,))[length])
                totals[-1] = len(found)
                runs.setdefault(length, []).append(found)
                owners.setdefault(length, []).append(np.full(len(found), number, np.int32))
        self.size = sum(totals)
        self._totals = np.array(totals)
        self._tables: dict[int, tuple[NDArray[np.uint64], NDArray[np.int32]]] = {}
        for length in sorted(runs):
            keys = np.concatenate(runs[length])
            order = np.argsort(keys, kind="stable")
            self._tables[length] = (keys[order], np.concatenate(owners[length])[order])

    def find(self, text: str) -> Overlap | None:
        """Return the greatest overlap of a text with a test text, None below the share."""
        if not self._tables:
            return None
        words = split_words(text)
        best: Overlap | None = None
        for length, found in _runs(words, tuple(self._tables)).items():
            keys, owners = self._tables[length]
            starts = np.searchsorted(keys, found)
            hits = np.flatnonzero(keys[np.minimum(starts, len(keys) - 1)] == found)
            if not len(hits):
                continue
            hits = hits[np.unique(found[hits], return_index=True)[1]]
            ends = np.searchsorted(keys, found[hits], "right")
            owned = [owners[a:b] for a, b in zip(starts[hits], ends, strict=True)]
            numbers, counts = np.unique(np.concatenate(owned), return_counts=True)
            shares = counts / self._totals[numbers]
            place = int(np.argmax(shares))
            if shares[place] >= self.share and (best is None or shares[place] > best.share):
                first = min(
                    int(hit) for hit, who in zip(hits, owned, strict=True) if numbers[place] in who
                )
                common = " ".join(words[first : first + length])
                best = Overlap(int(numbers[place]), float(shares[place]), common)
        return best


def _runs(words: Sequence[str], lengths: tuple[int, ...]) -> dict[int, NDArray[np.uint64]]:
    """Return, per length, a hash of every run of so many words, the same in every process."""
    hashes = np.array([zlib.crc32(word.encode()) for word in words], dtype=np.uint64)
    found = {}
    longest = min(max(lengths, default=0), len(words))
    total = np.zeros(len(words), np.uint64)
    power = np.uint64(1)
    with np.errstate(over="ignore"):
        for length in range(1, longest + 1):
            count = len(words) - length + 1
            total = total[:count] + hashes[length - 1 :] * power
            power *= _BASE
            if length in lengths:
                found[length] = total
    return found
