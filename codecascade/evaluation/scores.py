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


@dataclass(frozen=True)
class Scores:
    """The score of each problem: ``values[i]`` belongs to ``keys[i]``. The figure is the mean of the values.

    Attributes:
        weights: if given, the figure is ``sum(values) / sum(weights)`` (a loss per token).
        exponential: the figure is the exponential of that ratio (a perplexity).
        scored_bytes: how many bytes of each text were scored. Two tokenizers cut a text at the same number of tokens
            in different places, and such figures must not be compared.
        binary: each value is 0 or 1, of a single sample; the figure is a share with Wilson's interval.
        bounds: between which the values lie (with ``weights``: the values divided by them) if they are no shares.
        is_part: the figure is over some of another figure's problems, and models are compared by that one.
    """

    keys: tuple[ProblemKey, ...]
    values: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    exponential: bool = False
    scored_bytes: NDArray[np.float64] | None = None
    binary: bool = False
    bounds: tuple[float, float] | None = None
    is_part: bool = False

    @property
    def figure(self) -> float:
        if self.weights is None:
            return float(self.values.mean())
        ratio = float(self.values.sum() / self.weights.sum())
        return math.exp(ratio) if self.exponential else ratio

    def metric(self, seed: int) -> Metric:
        """The figure with its interval. Without any problem it is not measured (``n`` is 0)."""
        if not self.keys:
            return wilson(0, 0)
        if self.bounds is not None:
            return self._bounded(self.bounds, seed)
        if self.weights is not None and not self.exponential:
            # The same of a weighted mean of values of 0 and 1.
            means = self.values / self.weights
            if len({*means.tolist()} & {0.0, 1.0}) == 1 and bool((means == means[0]).all()):
                return wilson(round(float(means.sum())), len(means))
        if self.weights is not None:
            ratio = bootstrap_ratio(self.values, self.weights, seed=seed)
            if not self.exponential:
                return ratio
            return Metric(math.exp(ratio.value), math.exp(ratio.low), math.exp(ratio.high), ratio.n)
        # A bootstrap over problems that are all solved, or none, would give an interval of no width.
        alike = self.values[0] in (0, 1) and bool((self.values == self.values[0]).all())
        if self.binary or alike:
            return wilson(round(float(self.values.sum())), len(self.values))
        return bootstrap_mean(self.values, seed=seed)

    def _bounded(self, bounds: tuple[float, float], seed: int) -> Metric:
        """The interval of a mean of numbers between bounds.

        A bootstrap over equal numbers has no width, however few they are. Their mean gets Wilson's interval of a
        share instead, stretched to the bounds: no numbers with this mean vary more than those at the bounds.
        """
        weights = np.ones_like(self.values) if self.weights is None else self.weights
        means = self.values / weights
        if not np.allclose(means, means[0], rtol=0.0, atol=1e-9):
            return bootstrap_ratio(self.values, weights, seed=seed)
        low, high = bounds
        found = wilson(float(means[0] - low) / (high - low) * len(means), len(means))
        return Metric(
            self.figure, low + (high - low) * found.low, low + (high - low) * found.high, len(means)
        )


def metrics_of(scores: Mapping[str, Scores], seed: int = 0) -> dict[str, Metric]:
    """The figures of a benchmark. The ``seed`` is that of the bootstraps."""
    return {name: found.metric(seed) for name, found in scores.items()}
