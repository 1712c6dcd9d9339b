"""Estimates with bootstrap intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over ``n`` items; ``value`` is None where there is none (n = 0, or not known).

    ``low`` and ``high`` bound the 95 % interval; both are None where none was computed.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None


def bootstrap_mean(
    values: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Estimate:
    """Return the mean of ``values`` (n,) and its 95 % percentile-bootstrap interval.

    Items are resampled independently with replacement, ``resamples`` times, from ``seed``.
    """
    n = len(values)
    if n == 0:
        return Estimate(value=None, n=0)
    rng = np.random.default_rng(seed)
    # One resample at a time: 1000 index rows at once would need gigabytes on a large test set.
    means = [values[rng.integers(0, n, n)].mean() for _ in range(resamples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(value=float(values.mean()), n=n, low=float(low), high=float(high))
