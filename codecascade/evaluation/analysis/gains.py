"""What a model gained on another one, compared with the best that the other one can do.

A model without infilling tokens continues the prefix; one that has them may fill in better by one layout than by
another, or do best left to right. Where a benchmark judges all of these by one rule (``Benchmark.by_one_rule``), a
figure is compared with the other model's best one, problem by problem. All other figures are compared with the one of
the same name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from codecascade.evaluation.analysis.compare import MetricDifference, differing_settings, mismatch
from codecascade.evaluation.analysis.evaluation_folder import (
    Evaluation,
    MeasuredBenchmark,
    ProblemKey,
    read_evaluation,
)
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.analysis.significance import paired
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.scores import Scores
from codecascade.ground.errors import UserError

_LAYOUT = re.compile("_(psm|spm|suffix|left_to_right)$")
_HOW_ASKED = frozenset({"infilling.format", "infilling.layouts"})
# The quantile of 0.975 and that of 0.8: a difference of their sum in standard errors is found four times in five.
_FOUND_FOUR_TIMES_IN_FIVE = 1.96 + 0.84


@dataclass(frozen=True)
class Gain:
    """The difference of one figure between two models, over the same problems.

    Attributes:
        compared: its two values, their difference, its interval and the test. ``compared.metric`` is the second
            model's.
        before_layout, after_layout: how each was asked (``psm``, ``spm``, ``left_to_right``), if the benchmark has
            layouts.
        problems: the problem of each, in the order of ``before`` and ``after``.
        before, after: the scores of each problem.
    """

    benchmark: str
    compared: MetricDifference
    before_layout: str
    after_layout: str
    problems: tuple[str, ...]
    before: np.ndarray[Any, np.dtype[np.float64]]
    after: np.ndarray[Any, np.dtype[np.float64]]

    @property
    def metric(self) -> str:
        return self.compared.metric

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` by the paired test, else an empty string."""
        return self.compared.verdict

    def problems_needed(self) -> int | None:
        """About how many problems would show a difference of this size, in four of five measurements.

        None if the difference is 0. It supposes that the true difference is the one that was seen, which is uncertain
        by the width of its interval.
        """
        found = self.compared.difference
        if found.value == 0:
            return None
        error = (found.high - found.low) / (2 * 1.96)
        return math.ceil(found.n * (_FOUND_FOUR_TIMES_IN_FIVE * error / found.value) ** 2)


class ModelGains:
    """The gains between the models of a run, from the folders with the evaluation of each.

    Args:
        evaluations: ``evaluations/<model>`` of a run. A model without a folder has no gains.
    """

    def __init__(self, evaluations: Path) -> None:
        self._evaluations = evaluations
        self._read: dict[str, Evaluation | None] = {}
        self._scores: dict[tuple[str, str], dict[str, Scores]] = {}

    def evaluation(self, model: str) -> Evaluation | None:
        """The evaluation of a model; None if there is none that can be read."""
        if model not in self._read:
            try:
                self._read[model] = read_evaluation(self._evaluations / model)
            except UserError:
                self._read[model] = None
        return self._read[model]

    def between(
        self, first: str, second: str, benchmark: str, metric: str, *, higher_is_better: bool = True
    ) -> Gain | None:
        """What the second model gained on the best that the first one can do.

        None if they were measured on other problems, or by other settings, or one of the two has no such figure.
        """
        one, two = (self._measured(model, benchmark) for model in (first, second))
        if one is None or two is None or not _alike(one, two):
            return None
        after = self._scores_of(second, two).get(metric)
        if after is None or not two.metrics[metric].is_measured:
            return None
        found = [
            gain
            for name, before in self._candidates(first, one, two, metric)
            if (gain := _gain(one, name, before, two, metric, after, higher_is_better=higher_is_better))
        ]
        sign = 1 if higher_is_better else -1
        return max(found, key=lambda gain: sign * gain.compared.first.value, default=None)

    def _candidates(
        self, model: str, one: MeasuredBenchmark, two: MeasuredBenchmark, metric: str
    ) -> Iterator[tuple[str, Scores]]:
        """The figures of the first model that the second's may be compared with."""
        known = BENCHMARKS.get(one.name)
        plain = _LAYOUT.sub("", metric)
        by_one_rule = known is not None and plain in known.by_one_rule and _by_one_rule(one, two)
        for name, scores in self._scores_of(model, one).items():
            if one.metrics[name].is_measured and (
                name == metric or (by_one_rule and metric == plain and _LAYOUT.sub("", name) == plain)
            ):
                yield name, scores

    def _measured(self, model: str, benchmark: str) -> MeasuredBenchmark | None:
        evaluation = self.evaluation(model)
        return None if evaluation is None else evaluation.benchmarks.get(benchmark)

    def _scores_of(self, model: str, measured: MeasuredBenchmark) -> dict[str, Scores]:
        if (model, measured.name) not in self._scores:
            try:
                self._scores[model, measured.name] = scores_of(measured)
            except UserError:
                self._scores[model, measured.name] = {}
        return self._scores[model, measured.name]


def _alike(one: MeasuredBenchmark, two: MeasuredBenchmark) -> bool:
    return set(differing_settings(one, two)) <= _HOW_ASKED


def _by_one_rule(*measured: MeasuredBenchmark) -> bool:
    return all(each.settings.get("infilling.first_line", False) for each in measured)


def _gain(
    one: MeasuredBenchmark,
    name: str,
    before: Scores,
    two: MeasuredBenchmark,
    metric: str,
    after: Scores,
    *,
    higher_is_better: bool,
) -> Gain | None:
    firsts, seconds = _by_problem(before), _by_problem(after)
    if firsts is None or seconds is None or set(firsts) != set(seconds):
        return None
    order = [firsts[problem] for problem in seconds]
    # A layout is no part of a problem here: the same gap is asked in different ones.
    keys = tuple((problem, "") for problem in seconds)
    matched = replace(
        before,
        keys=keys,
        values=before.values[order],
        weights=None if before.weights is None else before.weights[order],
        scored_bytes=None if before.scored_bytes is None else before.scored_bytes[order],
    )
    if mismatch(matched, replace(after, keys=keys)):
        return None
    difference, p_value, test = paired(
        matched.values, after.values, after.weights, exponential=after.exponential
    )
    compared = MetricDifference(
        metric, one.metrics[name], two.metrics[metric], difference, p_value, test, higher_is_better
    )
    return Gain(
        two.name,
        compared,
        _layout(before.keys),
        _layout(after.keys),
        tuple(seconds),
        matched.values,
        after.values,
    )


def _by_problem(scores: Scores) -> Mapping[str, int] | None:
    """The index of each problem; None if one is there twice, in two layouts."""
    found = {task_id: index for index, (task_id, _) in enumerate(scores.keys)}
    return found if len(found) == len(scores.keys) and found else None


def _layout(keys: tuple[ProblemKey, ...]) -> str:
    return keys[0][1]
