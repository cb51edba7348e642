"""The difference of one figure between two evaluations, and whether the two can be compared at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codecascade.evaluation.analysis.evaluation_folder import MeasuredBenchmark, ProblemKey
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import is_judge_setting
from codecascade.evaluation.metrics import SIGNIFICANT, Metric
from codecascade.evaluation.notation import digits_to_see
from codecascade.evaluation.scores import Scores

ROUNDING = 1e-12
"""Differences of figures up to this one are rounding errors."""
# Settings that may differ. Whether problems and layouts are the same is checked on the problems themselves.
_MAY_DIFFER = ("seed", ".format", ".layouts")


@dataclass(frozen=True)
class MetricDifference:
    """The difference ``second - first`` of one metric, over the ``difference.n`` problems that both answered.

    Attributes:
        against: the infilling layout of the first's figure, if that is another one than the second's. Both were
            judged by one rule then.
    """

    metric: str
    first: Metric
    second: Metric
    difference: Metric
    p_value: float
    test: str
    higher_is_better: bool = True
    against: str = ""

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` if the test is significant at the 5 % level, else ``""``."""
        if self.p_value >= SIGNIFICANT or abs(self.difference.value) <= ROUNDING:
            return ""
        return "better" if (self.difference.value > 0) == self.higher_is_better else "worse"

    @property
    def more_digits(self) -> int:
        """With how many more digits than usual it is written: what is called better must not look the same."""
        if not self.verdict:
            return 0
        return digits_to_see(self.difference.value, self.metric, self.first.value, self.second.value)


def more_is_better(benchmark: str, metric: str) -> bool:
    """Whether a larger value of a benchmark's figure is the better one.

    The benchmark says it of its main metric and of those that reports show. A figure of some of the problems
    (``toxic@women``, ``answer_nats_per_byte_line``) has the direction of the one that its name begins with. Other
    figures that are no shares are losses; other shares are of what a model should do (``refused_unsafe``).
    """
    if (known := BENCHMARKS.get(benchmark)) is None:
        return True
    said = dict.fromkeys(known.plain_metrics, False)
    said |= {figure.metric: figure.higher_is_better for figure in known.columns}
    said |= {figure.metric: figure.higher_is_better for figure in known.tells_use}
    said[known.metric] = known.higher_is_better
    name = metric.partition("@")[0]
    of = max((each for each in said if name == each or name.startswith(f"{each}_")), key=len, default="")
    return said.get(of, True)


def mismatch(first: Scores, second: Scores) -> str:
    """Why two figures can't be compared problem by problem; empty if they can."""
    if set(first.keys) != set(second.keys):
        return "of different problems"
    matched = in_order(second, first.keys)
    for one, two in ((first.weights, matched.weights), (first.scored_bytes, matched.scored_bytes)):
        if one is not None and two is not None and not np.array_equal(one, two):
            return "losses per token of different tokenizers can't be compared"
    return ""


def in_order(found: Scores, keys: Sequence[ProblemKey]) -> Scores:
    """The same scores, in the order of these keys."""
    index_of = {key: index for index, key in enumerate(found.keys)}
    order = [index_of[key] for key in keys]
    weights, scored_bytes = (
        None if each is None else each[order] for each in (found.weights, found.scored_bytes)
    )
    return replace(
        found, keys=tuple(keys), values=found.values[order], weights=weights, scored_bytes=scored_bytes
    )


def differing_settings(first: MeasuredBenchmark, second: MeasuredBenchmark) -> dict[str, tuple[Any, Any]]:
    """The settings that concern what is asked and judged, and differ, with both values.

    What a later version of a benchmark measured differs from what an earlier one did, whatever the settings.
    """
    versions = (first.version, second.version)
    return ({"version of the benchmark": versions} if first.version != second.version else {}) | {
        name: (first.settings[name], second.settings[name])
        for name in first.settings
        if name in second.settings and not _may_differ(name) and first.settings[name] != second.settings[name]
    }


def settings_of_one(first: MeasuredBenchmark, second: MeasuredBenchmark) -> list[str]:
    """The settings that concern what is asked and judged, and that only one of the two tells.

    An earlier version of this tool measured the other, or its samples were given. Whether they differ is not known.
    """
    return sorted(name for name in first.settings.keys() ^ second.settings.keys() if not _may_differ(name))


def _may_differ(name: str) -> bool:
    return name.endswith(_MAY_DIFFER) or is_judge_setting(name)
