"""Figures with 95 % intervals, pass@k, and the difference between two models' scores on the same problems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

LEFT_TO_RIGHT = "left_to_right"
"""The suffix of the figures of a model without infilling tokens.

Such a model can't be asked to infill. Its figures say how well it continues the prefix, without the suffix.
"""

LEVEL = 0.95
"""How often an interval holds the true value."""
SIGNIFICANT = 0.05
"""A test finds a difference where its p-value is below."""


def quantile_of_level(tests: int = 1) -> float:
    """Standard errors on each side of an interval of :data:`LEVEL`, corrected for so many tests (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - LEVEL) / (2 * tests))


def found_four_times_in_five(tests: int = 1) -> float:
    """Standard errors of a difference that a test at the 5 % level finds in four of five measurements.

    Args:
        tests: for how many of them the level is corrected (Bonferroni).
    """
    return quantile_of_level(tests) + NormalDist().inv_cdf(0.8)


@dataclass(frozen=True)
class Metric:
    """A figure with its 95 % interval, over ``n`` observations. A rate is a fraction of 1."""

    value: float
    low: float
    high: float
    n: int

    @property
    def is_measured(self) -> bool:
        """Whether there was any observation. Without one there is no figure, whatever ``value`` holds."""
        return self.n > 0

    @property
    def has_interval(self) -> bool:
        """Whether its interval says anything. That of a loss of one text has no width: others were not seen."""
        return self.low < self.high

    def to_json(self) -> dict[str, float | int]:
        return asdict(self)


def left_to_right(metrics: Mapping[str, Metric], name: str) -> Metric | None:
    """The figure that a model without infilling tokens has in place of ``name`` (:data:`LEFT_TO_RIGHT`).

    None for a model that has the figure itself, whether it was asked left to right as well or not.
    """
    return None if name in metrics else metrics.get(f"{name}_{LEFT_TO_RIGHT}")


def without_unasked(metrics: dict[str, Metric], settings: Mapping[str, Any]) -> dict[str, Metric]:
    """Leave out the zeros that older versions stored for a model that could not be asked to infill.

    Args:
        settings: those of the measurement. Versions that store which layouts were asked (``infilling.layouts``) store
            no such zeros, and may have asked a model that can infill left to right as well.
    """
    if any(name.endswith(".layouts") for name in settings):
        return metrics
    return {name: found for name, found in metrics.items() if name.endswith(LEFT_TO_RIGHT)} or metrics


def wilson(successes: float, n: int, *, level: float = LEVEL) -> Metric:
    """The share of successes in ``n`` independent trials (Wilson 1927). With ``n`` 0 the interval is [0, 1].

    Successes may be the sum of values between 0 and 1; the interval is then too wide rather than too narrow.
    """
    if n == 0:
        return Metric(0.0, 0.0, 1.0, 0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, square = successes / n, z * z
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    # Wilson's bounds are exactly 0 and 1 in these cases; the formula gives them with a rounding error.
    low = centre - half if successes > 0 else 0.0
    high = centre + half if successes < n else 1.0
    return Metric(share, low, high, n)


def rate(answers: Sequence[bool]) -> Metric:
    """The share of true answers, with Wilson's interval."""
    return wilson(sum(answers), len(answers))


def bootstrap_ratio(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = 2000,
    level: float = LEVEL,
) -> Metric:
    """``sum(numerators) / sum(denominators)``, such as a loss per token, with a percentile bootstrap interval.

    The bootstrap draws observations (documents, problems) with replacement. A drawing of empty ones alone has no
    ratio, and is left out.
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    n = len(above)
    if n == 0:
        raise ValueError("nothing was observed")
    generator = np.random.default_rng(seed)
    ratios = np.empty(resamples)
    # In batches, so that memory is bounded for any n.
    for start in range(0, resamples, 100):
        rows = generator.integers(n, size=(min(100, resamples - start), n))
        sums = below[rows].sum(1)
        ratios[start : start + len(rows)] = above[rows].sum(1) / np.where(sums > 0, sums, np.nan)
    low, high = np.nanquantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return Metric(float(above.sum() / below.sum()), float(low), float(high), n)


def bootstrap_mean(values: ArrayLike, *, seed: int = 0, resamples: int = 2000) -> Metric:
    """The mean, with a percentile bootstrap interval over the observations."""
    values = np.asarray(values, np.float64)
    return bootstrap_ratio(values, np.ones_like(values), seed=seed, resamples=resamples)


def paired_difference(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Metric:
    """The mean of ``second - first`` over the same problems, with a bootstrap interval over the problems."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"not the same problems: {first.shape[0]} and {second.shape[0]}")
    return bootstrap_mean(second - first, seed=seed)


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The probability that at least one of ``k`` samples passes, drawn from ``n`` of which ``correct`` pass.

    This is the unbiased estimator of Chen et al. 2021.
    """
    if not 0 <= correct <= n or not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {correct} in {n}")
    return 1.0 - math.prod(1.0 - k / i for i in range(n - correct + 1, n + 1))
