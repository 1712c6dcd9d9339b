"""Texts that nearly repeat an earlier one, found by MinHash."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from biomedgpt.data.cleaning.ngrams import split_words
from biomedgpt.errors import optional_import

SHINGLE = 3
"""Words of the runs that two texts are compared by."""
SHORTEST = 20
"""Words below which texts are not compared: short questions and answers repeat of themselves."""
PERMUTATIONS = 64


class NearDuplicates:
    """Texts seen so far, which further ones are compared with.

    Two texts are near-duplicates when the estimated share of their runs of `SHINGLE` words that are
    in both (Jaccard) reaches the threshold. About 3 kB per text stay in memory.

    Args:
        threshold: the share, between 0 and 1.

    Raises:
        ConfigError: datasketch is not installed.
    """

    def __init__(self, threshold: float) -> None:
        with optional_import("near-duplicates need datasketch; run: pip install datasketch"):
            from datasketch import MinHash, MinHashLSH
        self.threshold = threshold
        self._new = MinHash
        self._index: Any = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
        self._hashes: dict[str, Any] = {}

    def seen(self, name: str, texts: Iterable[str]) -> tuple[str, float] | None:
        """Return name and share of an earlier text that is nearly this one; else remember it."""
        words = split_words(" ".join(texts))
        if len(words) < SHORTEST:
            return None
        runs = {" ".join(words[n : n + SHINGLE]) for n in range(len(words) - SHINGLE + 1)}
        minhash = self._new(num_perm=PERMUTATIONS, seed=1)
        minhash.update_batch([run.encode() for run in sorted(runs)])
        found = [(self._hashes[key].jaccard(minhash), key) for key in self._index.query(minhash)]
        share, key = max(found, default=(0.0, ""))
        if share >= self.threshold:
            return key, float(np.round(share, 2))
        self._index.insert(name, minhash)
        self._hashes[name] = minhash
        return None
