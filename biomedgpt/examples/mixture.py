"""Which rows an epoch holds, and in what order: a function of seed and epoch alone.

Every stream has a ring: a random order of its rows that an epoch takes the next stretch of. A
stretch is never longer than the ring, so no row comes twice within an epoch, and none comes again
before all others have been seen. What shares a batch is drawn anew in each epoch.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biomedgpt.errors import ConfigError

# First after the seed of every generator: NumPy takes (1, 2) and (1, 2, 0) for the same seed.
_RING, _ORDER = 1, 2


def shares(
    families: Sequence[str],
    rows: Sequence[int],
    weights: Sequence[float | None],
    family_weights: dict[str, float],
) -> list[float]:
    """Return each stream's share of the examples; they add up to one.

    Args:
        families: family of each stream.
        rows: rows of each stream.
        weights: weight of each stream within its family, or None for its rows.
        family_weights: weights of the families; those without a stream do not count.

    Raises:
        ConfigError: some streams of a family have a weight and others do not, or all weights are
            zero.
    """
    present = {name: family_weights[name] for name in families}
    total = sum(present.values())
    if total <= 0:
        raise ConfigError(f"weights of {', '.join(present)} are all zero; give one a weight")
    result = []
    for family, number, weight in zip(families, rows, weights, strict=True):
        members = [i for i, name in enumerate(families) if name == family]
        given = [weights[i] for i in members]
        if any(one is None for one in given) and any(one is not None for one in given):
            raise ConfigError(
                f"give a weight to all streams of the family {family}, or to none of them"
            )
        within = [rows[i] if weights[i] is None else weights[i] for i in members]
        own = number if weight is None else weight
        result.append(present[family] / total * own / sum(one for one in within if one is not None))
    return result


class Mixture:
    """Epochs over several streams.

    Args:
        rows: rows of each stream, at least one.
        shares: share of each stream in the examples of an epoch.
        seed: of all orders.
        examples: examples in an epoch; None for as many as the streams allow without showing a
            row twice.

    Attributes:
        counts: examples of each stream in an epoch.

    Raises:
        ConfigError: ``examples`` asks a stream for more rows than it has.
    """

    def __init__(
        self,
        rows: Sequence[int],
        shares: Sequence[float],
        *,
        seed: int,
        examples: int | None = None,
    ) -> None:
        self.rows = list(rows)
        self.seed = seed
        most = min(n / share for n, share in zip(rows, shares, strict=True) if share > 0)
        if examples is not None and examples > most + 1e-6:
            raise ConfigError(
                f"examples_per_epoch {examples} shows a row twice; at most {int(most)} do not"
            )
        total = most if examples is None else examples
        # A tiny excess, or the stream that sets the limit would lose a row to rounding.
        self.counts = [
            min(n, max(1, int(total * share + 1e-6))) if share > 0 else 0
            for n, share in zip(rows, shares, strict=True)
        ]
        self._rings: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return sum(self.counts)

    def epoch(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return stream and row of every example of an epoch (counted from 1), in order.

        Streams are spread evenly, so that batches hold them in the same proportion.
        """
        streams, rows, places = [], [], []
        for stream, count in enumerate(self.counts):
            rng = np.random.default_rng((self.seed, _ORDER, number, stream))
            chosen = self._stretch(stream, (number - 1) * count, count)
            rows.append(rng.permutation(chosen))
            streams.append(np.full(count, stream, dtype=np.int64))
            places.append((np.arange(count) + rng.random(count)) / max(count, 1))
        order = np.argsort(np.concatenate(places), kind="stable")
        return np.concatenate(streams)[order], np.concatenate(rows)[order]

    def _stretch(self, stream: int, start: int, count: int) -> NDArray[np.int64]:
        if stream not in self._rings:
            rng = np.random.default_rng((self.seed, _RING, stream))
            self._rings[stream] = rng.permutation(self.rows[stream])
        ring = self._rings[stream]
        positions = (start % len(ring) + np.arange(count)) % len(ring)
        return ring[positions]
