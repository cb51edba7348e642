"""What each problem contributes to a figure: figures are made of it, and two models are compared by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codecascade.evaluation.metrics import Metric, bootstrap_mean, bootstrap_ratio, wilson

ProblemKey = tuple[str, str]
"""What tells problems apart: ``task_id``, and the infilling layout where a problem is asked in several (else "")."""


def problem_key(row: Mapping[str, Any]) -> ProblemKey:
    """Which problem a sample answers, or a task is."""
    return row["task_id"], str(row.get("format", ""))


@dataclass(frozen=True)
class Scores:
    """The score of each problem: ``values[i]`` is that of ``keys[i]``. The figure is their mean.

    Attributes:
        weights: the figure is ``sum(values) / sum(weights)`` instead (a loss per token).
        exponential: and of that the exponential (a perplexity).
        scored_bytes: how many bytes of each text were scored. Two tokenizers cut a text at the same number of tokens
            in different places, and such figures must not be compared.
        binary: each value is 0 or 1, of a single sample; the figure is a share with Wilson's interval.
        is_part: the figure is over some of another figure's problems, and models are compared by that one.
    """

    keys: tuple[ProblemKey, ...]
    values: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    exponential: bool = False
    scored_bytes: NDArray[np.float64] | None = None
    binary: bool = False
    is_part: bool = False

    @property
    def figure(self) -> float:
        if self.weights is None:
            return float(self.values.mean())
        ratio = float(self.values.sum() / self.weights.sum())
        return math.exp(ratio) if self.exponential else ratio

    def metric(self, seed: int) -> Metric:
        """The figure with its interval; of no problem at all it is 0 of 0."""
        if not self.keys:
            return wilson(0, 0)
        if self.weights is not None:
            ratio = bootstrap_ratio(self.values, self.weights, seed=seed)
            if not self.exponential:
                return ratio
            return Metric(math.exp(ratio.value), math.exp(ratio.low), math.exp(ratio.high), ratio.n)
        # Of problems that are all solved, or none, drawing again tells nothing.
        alike = self.values[0] in (0, 1) and bool((self.values == self.values[0]).all())
        if self.binary or alike:
            return wilson(round(float(self.values.sum())), len(self.values))
        return bootstrap_mean(self.values, seed=seed)


def metrics_of(scores: Mapping[str, Scores], seed: int = 0) -> dict[str, Metric]:
    """The figures of a benchmark. ``seed`` is of the draws behind the intervals."""
    return {name: found.metric(seed) for name, found in scores.items()}
