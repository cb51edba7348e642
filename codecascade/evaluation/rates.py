"""Scores of a benchmark's problems from its rows: means over samples and pass@k, in all and by group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from codecascade.evaluation.metrics import pass_at_k
from codecascade.evaluation.rows import SampleRow
from codecascade.evaluation.scores import ProblemKey, Scores, problem_key

ProblemValues = dict[ProblemKey, list[float]]
"""The samples' values of each problem."""


def values_by_problem(rows: Iterable[SampleRow], *fields: str) -> dict[str, ProblemValues]:
    """For each of ``fields`` the values by problem, in one pass; rows without a value (None) are left out."""
    found: dict[str, ProblemValues] = {field: {} for field in fields}
    for row in rows:
        for field in fields:
            if (value := row.get(field)) is not None:
                found[field].setdefault(problem_key(row), []).append(value)
    return found


def mean_scores(values: Mapping[ProblemKey, Sequence[float]], *, is_part: bool = False) -> Scores:
    """The mean over each problem's samples."""
    one_answer_each = all(len(samples) == 1 and isinstance(samples[0], bool) for samples in values.values())
    means = [sum(samples) / len(samples) for samples in values.values()]
    return Scores(tuple(values), np.array(means, np.float64), binary=one_answer_each, is_part=is_part)


def pass_at_k_scores(
    values: Mapping[ProblemKey, Sequence[float]], *, ks: Sequence[int] = (1, 10, 100), suffix: str = ""
) -> dict[str, Scores]:
    """``pass@k`` for each k that every problem has samples for; pass@1 also of no problem at all."""
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
    """``above / (unit * below)`` summed over rows, of those that have both."""
    there = [row for row in rows if above in row and below in row]
    return Scores(
        tuple(map(problem_key, there)),
        np.array([row[above] for row in there], np.float64) / unit,
        np.array([row[below] for row in there], np.float64),
    )


def rows_by_field(rows: Iterable[SampleRow], key: str) -> dict[str, list[SampleRow]]:
    """The rows of each value of ``key``, in the order of their first appearance."""
    groups: dict[str, list[SampleRow]] = {}
    for row in rows:
        groups.setdefault(str(row.get(key)), []).append(row)
    return groups
