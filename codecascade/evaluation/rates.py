"""Makes scores of a benchmark's rows: means over samples, pass@k, ratios; and groups rows by a field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from codecascade.evaluation.metrics import pass_at_k
from codecascade.evaluation.rows import SampleRow
from codecascade.evaluation.scores import SHARE, ProblemKey, Scores, problem_key

ProblemValues = dict[ProblemKey, list[float]]
"""For each problem the values of its samples."""


def values_by_problem(rows: Iterable[SampleRow], *fields: str) -> dict[str, ProblemValues]:
    """For each of ``fields`` the values by problem, in one pass. Rows without a value (None) are left out."""
    found: dict[str, ProblemValues] = {field: {} for field in fields}
    for row in rows:
        for field in fields:
            if (value := row.get(field)) is not None:
                found[field].setdefault(problem_key(row), []).append(value)
    return found


def mean_scores(
    values: Mapping[ProblemKey, Sequence[float]],
    *,
    bounds: tuple[float, float] = SHARE,
    is_part: bool = False,
) -> Scores:
    """The mean over the samples of each problem. ``bounds``: as those of :class:`Scores`."""
    one_answer_each = all(len(samples) == 1 and isinstance(samples[0], bool) for samples in values.values())
    means = [sum(samples) / len(samples) for samples in values.values()]
    return Scores(
        tuple(values), np.array(means, np.float64), binary=one_answer_each, bounds=bounds, is_part=is_part
    )


def pass_at_k_scores(
    values: Mapping[ProblemKey, Sequence[float]], *, ks: Sequence[int] = (1, 10, 100), suffix: str = ""
) -> dict[str, Scores]:
    """``pass@k`` for each k of which every problem has enough samples; pass@1 also if there are no problems."""
    fewest = min(map(len, values.values()), default=1)
    if fewest == 1:
        return {f"pass@1{suffix}": mean_scores(values)}
    return {
        f"pass@{k}{suffix}": Scores(
            tuple(values),
            np.array([pass_at_k(len(samples), int(sum(samples)), k) for samples in values.values()]),
        )
        for k in ks
        if k <= fewest
    }


def ratio_scores(rows: Iterable[SampleRow], above: str, below: str, unit: float = 1.0) -> Scores:
    """``sum(above) / (unit * sum(below))`` over the rows that have both fields: a loss, not a share."""
    complete = [row for row in rows if above in row and below in row]
    return Scores(
        tuple(map(problem_key, complete)),
        np.array([row[above] for row in complete], np.float64) / unit,
        np.array([row[below] for row in complete], np.float64),
        bounds=None,
    )


def rows_by_field(rows: Iterable[SampleRow], name: str) -> dict[str, list[SampleRow]]:
    """The rows with each value of the field ``name``, in the order in which the values appear."""
    groups: dict[str, list[SampleRow]] = {}
    for row in rows:
        groups.setdefault(str(row.get(name)), []).append(row)
    return groups
