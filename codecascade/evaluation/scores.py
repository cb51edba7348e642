"""What each problem contributes to a figure. Figures are made of these scores, and models are compared by them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codecascade.evaluation.metrics import Metric, bootstrap_mean, bootstrap_ratio, wilson

ProblemKey = tuple[str, str]
"""Identifies a problem: its ``task_id``, and its infilling layout if it is asked in several (else "")."""


def problem_key(row: Mapping[str, Any]) -> ProblemKey:
    """The problem of a sample's row, or of a task's."""
    return row["task_id"], str(row.get("format", ""))


SHARE = (0.0, 1.0)
"""The bounds of shares."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Scores:
    """The score of each problem: ``values[i]`` belongs to ``keys[i]``. The figure is the mean of the values.

    Attributes:
        weights: if given, the figure is ``sum(values) / sum(weights)`` (a loss per token).
        exponential: the figure is the exponential of that ratio (a perplexity).
        scored_bytes: how many bytes of each text were scored. Two tokenizers cut a text at the same number of tokens
            in different places, and such figures must not be compared.
        binary: each value is 0 or 1, of a single sample; the figure is a share with Wilson's interval.
        bounds: the least and the largest value, 0 and 1 for shares, rates and similarities. None: there is no largest
            one (a loss).
        is_part: the figure is over some of another figure's problems, and models are compared by that one.
    """

    keys: tuple[ProblemKey, ...]
    values: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    exponential: bool = False
    scored_bytes: NDArray[np.float64] | None = None
    binary: bool = False
    bounds: tuple[float, float] | None = SHARE
    is_part: bool = False

    @property
    def figure(self) -> float:
        if self.weights is None:
            return float(self.values.mean())
        ratio = float(self.values.sum() / self.weights.sum())
        return math.exp(ratio) if self.exponential else ratio

    def metric(self, seed: int) -> Metric:
        """The figure with its interval. Without any problem, or only empty texts, it is not measured (``n`` is 0).

        A loss of texts that are all alike, as a single one is, has an interval of no width.
        """
        if not self.keys or (self.weights is not None and self.weights.sum() <= 0):
            return wilson(0, 0)
        # A bootstrap over problems of which half the samples each are right would give an interval of no width.
        if self.bounds is not None and (alike := self._alike(*self.bounds)) is not None:
            low, high = self.bounds
            width = high - low
            share = wilson(len(self.keys) * (alike - low) / width, len(self.keys))
            return Metric(alike, low + width * share.low, low + width * share.high, share.n)
        if self.weights is not None:
            ratio = bootstrap_ratio(self.values, self.weights, seed=seed)
            if not self.exponential:
                return ratio
            return Metric(math.exp(ratio.value), math.exp(ratio.low), math.exp(ratio.high), ratio.n)
        if self.binary:
            return wilson(round(float(self.values.sum())), len(self.values))
        return bootstrap_mean(self.values, seed=seed)

    def _alike(self, least: float, most: float) -> float | None:
        """The value of every problem, if they have the same.

        Of all values between two bounds, those at the bounds vary most about a given mean. So Wilson's interval of
        the mean's place between them is not too narrow, also for a single problem.
        """
        means = self.values if self.weights is None else self.values / self.weights
        first = float(means[0])
        if not np.allclose(means, first, rtol=0, atol=_ROUNDING):
            return None
        ends = (end for end in (least, most) if abs(first - end) < _ROUNDING)
        return min(max(next(ends, first), least), most)


def metrics_of(scores: Mapping[str, Scores], seed: int = 0) -> dict[str, Metric]:
    """The figures of a benchmark. The ``seed`` is that of the bootstraps."""
    return {name: found.metric(seed) for name, found in scores.items()}
