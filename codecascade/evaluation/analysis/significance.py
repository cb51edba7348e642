"""Do two models' scores on the same problems differ by more than chance, and by how much? (Tests of paired data.)

For scores that are 0 or 1: the exact McNemar test, and Newcombe's interval (1998, method 10). For all others: a
sign-flip permutation test, and a bootstrap interval over the problems.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codecascade.evaluation.metrics import LEVEL, Metric, bootstrap_ratio, wilson

MCNEMAR, SIGN_FLIP = "exact McNemar", "sign-flip permutation"
LEAST_PROBLEMS = 6
"""With fewer problems no test finds a difference: if all five differ in one way, the p-value is 2 / 2^5 = 0.0625."""
# Up to this many differences, all ways of flipping their signs are counted.
_EXACT = 16
_FLIPS = 20_000
_RESAMPLES = 2000


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p-value of ``gained`` against ``lost`` problems, by the binomial test (McNemar 1947)."""
    n, less = gained + lost, min(gained, lost)
    tail = sum(math.comb(n, k) for k in range(less + 1))
    return min(1.0, float(2 * tail / 2**n))


def sign_flip(differences: ArrayLike, *, seed: int = 0) -> float:
    """The two-sided p-value of a sum of differences, if each sign could as well have been the opposite.

    For up to 16 differences that are not zero, all ways of flipping the signs are counted. For more, 20,000 ways are
    drawn. The observed one is counted with them, so that the p-value is never 0.
    """
    values = np.asarray(differences, np.float64)
    values = values[values != 0]
    n = len(values)
    if n == 0:
        return 1.0
    # A little less than the sum: sums that are equal may differ in their last bits.
    observed = float(abs(values.sum())) * (1 - 1e-12)
    if n <= _EXACT:
        every = 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return float(np.mean(np.abs(every @ values) >= observed))
    generator = np.random.default_rng(seed)
    beyond = 0
    # In batches, so that memory is bounded for any n.
    for _ in range(0, _FLIPS, 500):
        signs = generator.integers(0, 2, size=(500, n), dtype=np.int8) * 2.0 - 1.0
        beyond += int(np.sum(np.abs(signs @ values) >= observed))
    return (beyond + 1) / (_FLIPS + 1)


def difference_of_rates(first: ArrayLike, second: ArrayLike, *, level: float = LEVEL) -> Metric:
    """``second - first`` of two rates over the same problems, each scored 0 or 1 (Newcombe 1998, method 10).

    Unlike a bootstrap, it gives an interval with a width above 0 if no problem was gained or lost.
    """
    before, after = np.asarray(first, bool), np.asarray(second, bool)
    n = len(before)
    both, gained = int(np.sum(before & after)), int(np.sum(~before & after))
    lost = int(np.sum(before & ~after))
    neither = n - both - gained - lost
    rate_of_second, rate_of_first = (
        wilson(both + gained, n, level=level),
        wilson(both + lost, n, level=level),
    )
    product = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    correlation = 0.0
    if product:
        excess = both * neither - gained * lost
        correlation = (max(excess - n / 2, 0) if excess > 0 else excess) / math.sqrt(product)
    value = rate_of_second.value - rate_of_first.value

    def width(up: float, down: float) -> float:
        return math.sqrt(max(0.0, up * up - 2 * correlation * up * down + down * down))

    low = value - width(rate_of_second.value - rate_of_second.low, rate_of_first.high - rate_of_first.value)
    high = value + width(rate_of_second.high - rate_of_second.value, rate_of_first.value - rate_of_first.low)
    return Metric(value, max(-1.0, low), min(1.0, high), n)


def difference_of_perplexities(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    tokens: NDArray[np.float64],
    *,
    seed: int = 0,
    level: float = LEVEL,
) -> Metric:
    """The difference of two perplexities, ``exp(sum(second) / sum(tokens)) - exp(sum(first) / sum(tokens))``.

    Args:
        first, second: nats of each file.
        tokens: how many tokens each file has.

    The interval is a paired percentile bootstrap over the files.
    """
    n = len(tokens)
    generator = np.random.default_rng(seed)
    found = np.empty(_RESAMPLES)
    # One at a time, so that memory is bounded for any n.
    for index in range(_RESAMPLES):
        rows = generator.integers(n, size=n)
        below = tokens[rows].sum()
        found[index] = np.exp(second[rows].sum() / below) - np.exp(first[rows].sum() / below)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    value = math.exp(second.sum() / tokens.sum()) - math.exp(first.sum() / tokens.sum())
    return Metric(value, float(low), float(high), n)


def are_zero_or_one(scores: NDArray[np.float64]) -> bool:
    """Whether all scores are 0 or 1."""
    return bool(np.all((scores == 0) | (scores == 1)))


def paired(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
    *,
    exponential: bool = False,
    seed: int = 0,
    chosen_of: int = 1,
) -> tuple[Metric, float, str]:
    """``second - first``, its interval, its p-value and the name of the test.

    Args:
        first, second: the score of each problem. With ``weights`` (tokens, bytes), figures are ``sum(scores) /
            sum(weights)``.
        exponential: the figures are the exponentials of these ratios. The test is of the ratios, whose order is the
            same.
        chosen_of: the second is the one of so many that was chosen by these scores. The p-value is multiplied by that
            number, and the interval as much wider (Bonferroni), so that both hold whichever was chosen.
    """
    level = 1 - (1 - LEVEL) / chosen_of
    if weights is None and are_zero_or_one(first) and are_zero_or_one(second):
        gained, lost = int(np.sum(second > first)), int(np.sum(first > second))
        difference = difference_of_rates(first, second, level=level)
        return difference, min(1.0, chosen_of * mcnemar(gained, lost)), MCNEMAR
    differences = second - first
    below = np.ones_like(differences) if weights is None else weights
    difference = (
        difference_of_perplexities(first, second, below, seed=seed, level=level)
        if exponential
        else bootstrap_ratio(differences, below, seed=seed, level=level)
    )
    return difference, min(1.0, chosen_of * sign_flip(differences, seed=seed)), SIGN_FLIP
