"""Bootstrap intervals of scores that are no means over items, such as F1, AUC or corpus BLEU."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from biomedgpt.metrics.bootstrap import RESAMPLES, SEED, Estimate

Statistics = Callable[[NDArray[np.int64]], Sequence[float]]
"""Scores of the items with these indices (m,), some of them repeated; NaN where undefined."""


def bootstrap_statistics(
    statistics: Statistics, n: int, *, resamples: int = RESAMPLES, seed: int = SEED
) -> list[Estimate]:
    """Return each score of all ``n`` items with its 95 % percentile-bootstrap interval.

    The items drawn are those `bootstrap_mean` draws from the same seed. Resamples in which a score
    is not defined are left out of its interval.

    Args:
        statistics: scores of a choice of items; always the same number of them.
        n: number of items, at least 1.
        resamples: how often items are drawn.
        seed: of the draws.
    """
    values = statistics(np.arange(n))
    rng = np.random.default_rng(seed)
    draws = np.array([statistics(rng.integers(0, n, n)) for _ in range(resamples)])
    return [
        _estimate(value, draws[:, index], n=n)  # (resamples,)
        for index, value in enumerate(values)
    ]


def _estimate(value: float, draws: NDArray[np.float64], *, n: int) -> Estimate:
    if np.isnan(value):
        return Estimate(value=None, n=n)
    low, high = np.percentile(draws[~np.isnan(draws)], [2.5, 97.5])
    return Estimate(value=float(value), n=n, low=float(low), high=float(high))
