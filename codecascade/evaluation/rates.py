"""Figures of a benchmark from its rows: shares, means and pass@k over problems, in all and by group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from codecascade.evaluation.metrics import Metric, bootstrap_mean, pass_at_k, wilson
from codecascade.evaluation.task import Row

Answers = dict[str, list[float]]
"""The samples' values of each problem."""


def answers(rows: Iterable[Row], *fields: str) -> dict[str, Answers]:
    """For each of ``fields`` the values by problem, in one pass; rows without a value (None) are left out."""
    found: dict[str, Answers] = {field: {} for field in fields}
    for row in rows:
        for field in fields:
            if (value := row.get(field)) is not None:
                found[field].setdefault(row["task_id"], []).append(value)
    return found


def mean(values: Mapping[str, Sequence[float]], *, seed: int) -> Metric:
    """The mean over problems of the mean over samples.

    A share (yes or no, one sample a problem) has Wilson's interval, all else a bootstrap over the problems.
    """
    problems = list(values.values())
    if all(len(samples) == 1 and isinstance(samples[0], bool) for samples in problems):
        return wilson(sum(samples[0] > 0 for samples in problems), len(problems))
    return _over_problems([sum(samples) / len(samples) for samples in problems], seed)


def pass_rates(
    values: Mapping[str, Sequence[float]], *, seed: int, ks: Sequence[int] = (1, 10, 100), suffix: str = ""
) -> dict[str, Metric]:
    """``pass@k`` for each k that every problem has samples for; pass@1 also of no problem at all."""
    fewest = min(map(len, values.values()), default=1)
    if fewest == 1:
        return {f"pass@1{suffix}": mean(values, seed=seed)}
    return {
        f"pass@{k}{suffix}": _over_problems(
            [pass_at_k(len(samples), int(sum(samples)), k) for samples in values.values()], seed
        )
        for k in ks
        if k <= fewest
    }


def _over_problems(values: Sequence[float], seed: int) -> Metric:
    """The mean with a bootstrap; of problems that are all solved, or none, Wilson's: drawing again tells nothing."""
    if all(value == values[0] for value in values) and values[0] in (0, 1):
        return wilson(round(sum(values)), len(values))
    return bootstrap_mean(values, seed=seed)


def grouped(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    """The rows of each value of ``key``, in the order of their first appearance."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row.get(key)), []).append(row)
    return groups
