"""Figures by group of people, and their mean in which every group counts the same, as in the paper's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from codecascade.evaluation.rates import mean_scores, rows_by_field, values_by_problem
from codecascade.evaluation.rows import SampleRow
from codecascade.evaluation.scores import SHARE, Scores, problem_key


def group_scores(
    rows: Sequence[SampleRow],
    value: str,
    group: str,
    metric: str | None = None,
    *,
    bounds: tuple[float, float] = SHARE,
) -> dict[str, Scores]:
    """``<metric>@<group>``: the mean over the problems of each group, in the order of their names.

    Args:
        value: the field whose mean is taken.
        group: the field that names the group.
        metric: how the metric is called; None: like ``value``.
        bounds: between which the values lie.
    """
    groups = rows_by_field((row for row in rows if row.get(value) is not None), group)
    return {
        f"{metric or value}@{name}": mean_scores(
            values_by_problem(groups[name], value)[value], bounds=bounds, is_part=True
        )
        for name in sorted(groups)
    }


def even_scores(
    rows: Iterable[SampleRow],
    value: str,
    *levels: str,
    bounds: tuple[float, float] = SHARE,
    is_part: bool = False,
) -> Scores:
    """The mean in which all groups count the same, whatever their size.

    With several ``levels`` it is the mean over the values of the first level, each of which is the mean over
    those of the second within it, and so on (domains, and groups within a domain). So a problem has the weight
    1 over the number of values of each level that stand beside its own, and over the number of rows in its
    innermost group.
    """
    kept = [row for row in rows if row.get(value) is not None]
    paths = [tuple(str(row.get(level)) for level in levels) for row in kept]
    # How many values the next level has under each beginning of a path.
    beginnings = {path[:depth] for path in set(paths) for depth in range(1, len(levels) + 1)}
    children = Counter(beginning[:-1] for beginning in beginnings)
    sizes = Counter(paths)
    by_problem: dict[tuple[str, str], list[float]] = {}
    for row, path in zip(kept, paths, strict=True):
        weight = 1.0 / sizes[path]
        for depth in range(len(levels)):
            weight /= children[path[:depth]]
        total = by_problem.setdefault(problem_key(row), [0.0, 0.0])
        total[0] += weight * row[value]
        total[1] += weight
    values = np.array([total for total, _ in by_problem.values()], np.float64)
    weights = np.array([total for _, total in by_problem.values()], np.float64)
    return Scores(tuple(by_problem), values, weights, bounds=bounds, is_part=is_part)
