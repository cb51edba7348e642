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

from codecascade.evaluation.analysis.differences import (
    MetricDifference,
    differing_settings,
    in_order,
    mismatch,
)
from codecascade.evaluation.analysis.evaluation_folder import (
    Evaluation,
    MeasuredBenchmark,
    ProblemKey,
    read_evaluation,
)
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.analysis.significance import paired
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import LEFT_TO_RIGHT, found_four_times_in_five, quantile_of_level
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.task import Benchmark
from codecascade.ground.errors import UserError

_LAYOUT = re.compile("_(psm|spm|suffix|left_to_right)$")


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
        chosen_of: the second model was chosen from so many by its figures, for which the test and the interval are
            corrected.
    """

    benchmark: str
    compared: MetricDifference
    before_layout: str
    after_layout: str
    problems: tuple[str, ...]
    before: np.ndarray[Any, np.dtype[np.float64]]
    after: np.ndarray[Any, np.dtype[np.float64]]
    chosen_of: int = 1

    @property
    def metric(self) -> str:
        return self.compared.metric

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` by the paired test, else an empty string."""
        return self.compared.verdict

    def problems_needed(self) -> int | None:
        """About how many problems would show a difference of this size, in four of five measurements.

        They would show it by a test that is corrected as this one is. None if the difference is 0. It supposes that
        the true difference is the one that was seen, which is uncertain by the width of its interval.
        """
        found = self.compared.difference
        if found.value == 0:
            return None
        error = (found.high - found.low) / (2 * quantile_of_level(self.chosen_of))
        return math.ceil(found.n * (found_four_times_in_five(self.chosen_of) * error / found.value) ** 2)


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
        self,
        first: str,
        second: str,
        benchmark: str,
        metric: str,
        *,
        higher_is_better: bool = True,
        chosen_of: int = 1,
    ) -> Gain | None:
        """What the second model gained on the best that the first one can do.

        None if they were measured on other problems, or by other settings, or one of the two has no such figure.

        Args:
            chosen_of: how many models the second one was chosen from by such figures.
        """
        one, two = (self._measured(model, benchmark) for model in (first, second))
        if one is None or two is None or differing_settings(one, two):
            return None
        return best_gain(
            one,
            two,
            self._scores_of(first, one),
            self._scores_of(second, two),
            metric,
            higher_is_better=higher_is_better,
            chosen_of=chosen_of,
        )

    def continued(self, model: str, gain: Gain) -> bool:
        """Whether the best of a gain's first ``model`` is known: it was also asked to continue the prefix.

        True of figures that are not of layouts.
        """
        known, plain = BENCHMARKS.get(gain.benchmark), _LAYOUT.sub("", gain.metric)
        measured = self._measured(model, gain.benchmark)
        if known is None or measured is None or plain not in known.by_one_rule:
            return True
        other = measured.metrics.get(f"{plain}_{LEFT_TO_RIGHT}")
        return gain.before_layout == LEFT_TO_RIGHT or (other is not None and other.is_measured)

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


def best_gain(
    one: MeasuredBenchmark,
    two: MeasuredBenchmark,
    of_one: Mapping[str, Scores],
    of_two: Mapping[str, Scores],
    metric: str,
    *,
    higher_is_better: bool = True,
    chosen_of: int = 1,
) -> Gain | None:
    """What the second evaluation gained on the best figure of the first that ``metric`` may be compared with.

    Args:
        of_one, of_two: the scores behind the figures of each.
        chosen_of: see :meth:`ModelGains.between`.
    """
    after = of_two.get(metric)
    if after is None or not two.metrics[metric].is_measured:
        return None
    found = [
        gain
        for name in _comparable(one, two, of_one, metric)
        if (gain := _gain(one, name, of_one[name], two, metric, after, higher_is_better, chosen_of))
    ]
    sign = 1 if higher_is_better else -1
    return max(found, key=lambda gain: sign * gain.compared.first.value, default=None)


def gains_on_other_layouts(
    one: MeasuredBenchmark,
    two: MeasuredBenchmark,
    of_one: Mapping[str, Scores],
    of_two: Mapping[str, Scores],
) -> list[Gain]:
    """The gains of a benchmark's reported figures on a layout of the first that is another than the second's.

    The benchmark's main figure comes first. A figure that the first does best in the second's layout is left out.
    """
    known = BENCHMARKS.get(one.name)
    if known is None:
        return []
    reported = {known.metric: known.higher_is_better}
    reported |= {figure.metric: figure.higher_is_better for figure in known.columns}
    gains = [
        best_gain(one, two, of_one, of_two, metric, higher_is_better=higher)
        for metric, higher in reported.items()
        if metric in known.by_one_rule
    ]
    return [
        replace(gain, compared=replace(gain.compared, against=gain.before_layout))
        for gain in gains
        if gain is not None and gain.before_layout != gain.after_layout
    ]


def _comparable(
    one: MeasuredBenchmark, two: MeasuredBenchmark, of_one: Mapping[str, Scores], metric: str
) -> Iterator[str]:
    """The figures of the first evaluation that the second's may be compared with."""
    known = BENCHMARKS.get(one.name)
    plain = _LAYOUT.sub("", metric)
    by_one_rule = known is not None and plain in known.by_one_rule and _by_one_rule(known, one, two)
    for name in of_one:
        if one.metrics[name].is_measured and (
            name == metric or (by_one_rule and metric == plain and _LAYOUT.sub("", name) == plain)
        ):
            yield name


def _by_one_rule(benchmark: Benchmark, *measured: MeasuredBenchmark) -> bool:
    """Whether the answers were judged by the rule that all layouts share.

    Some benchmarks have another one as a setting. Versions without the setting had the other rule alone.
    """
    kind = benchmark.settings
    if kind is None or "first_line" not in kind.model_fields:
        return True
    return all(each.settings.get(f"{kind.key}.first_line", False) for each in measured)


def _gain(
    one: MeasuredBenchmark,
    name: str,
    before: Scores,
    two: MeasuredBenchmark,
    metric: str,
    after: Scores,
    higher_is_better: bool,
    chosen_of: int,
) -> Gain | None:
    firsts, seconds = _by_problem(before), _by_problem(after)
    if firsts is None or seconds is None or set(firsts) != set(seconds):
        return None
    # A layout is no part of a problem here: the same gap is asked in different ones.
    keys = tuple((problem, "") for problem in seconds)
    matched = in_order(replace(before, keys=tuple((problem, "") for problem in firsts)), keys)
    if mismatch(matched, replace(after, keys=keys)):
        return None
    difference, p_value, test = paired(
        matched.values,
        after.values,
        after.weights,
        exponential=after.exponential,
        chosen_of=chosen_of,
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
        chosen_of,
    )


def _by_problem(scores: Scores) -> Mapping[str, int] | None:
    """The index of each problem; None if one is there twice, in two layouts."""
    found = {task_id: index for index, (task_id, _) in enumerate(scores.keys)}
    return found if len(found) == len(scores.keys) and found else None


def _layout(keys: tuple[ProblemKey, ...]) -> str:
    return keys[0][1]
