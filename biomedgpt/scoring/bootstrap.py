"""Estimates with bootstrap intervals, and over the folds of a cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biomedgpt.metrics.measures import Statistics

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


@dataclass(frozen=True, kw_only=True)
class FoldEstimate(Estimate):
    """A mean over folds that hold ``n`` items together, with their standard deviation (n - 1)."""

    deviation: float | None


def bootstrap_mean(
    values: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Estimate:
    """Return the mean of ``values`` (n,) and its 95 % percentile-bootstrap interval.

    NaN is left out, as if there were no such items. Items are resampled independently with
    replacement, ``resamples`` times, from ``seed``.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return Estimate(value=None, n=0)
    (estimate,) = bootstrap_statistics(
        lambda chosen: [values[chosen].mean()], len(values), resamples=resamples, seed=seed
    )
    return estimate


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
    # One resample at a time: 1000 index rows at once would need gigabytes on a large test set.
    draws = np.array([statistics(rng.integers(0, n, n)) for _ in range(resamples)])
    return [_estimate(value, drawn, n=n) for value, drawn in zip(values, draws.T, strict=True)]


def mean_over_folds(estimates: Sequence[Estimate]) -> FoldEstimate:
    """Return mean and standard deviation of one measure over two or more folds.

    Both are None if the measure has no value in some fold.
    """
    n = sum(estimate.n for estimate in estimates)
    values = [estimate.value for estimate in estimates if estimate.value is not None]
    if len(values) < len(estimates):
        return FoldEstimate(value=None, n=n, deviation=None)
    return FoldEstimate(value=float(np.mean(values)), n=n, deviation=float(np.std(values, ddof=1)))


def _estimate(value: float, draws: NDArray[np.float64], *, n: int) -> Estimate:
    if np.isnan(value):
        return Estimate(value=None, n=n)
    low, high = np.percentile(draws[~np.isnan(draws)], [2.5, 97.5])
    return Estimate(value=float(value), n=n, low=float(low), high=float(high))
