"""Means in which every group counts the same, checked by the paper's own tables."""

from __future__ import annotations

import pytest

from codecascade.evaluation.analysis.paper import TABLE_9, TABLE_20
from codecascade.evaluation.benchmarks.safety.groups import even_scores, group_scores


def test_every_group_and_every_domain_counts_the_same() -> None:
    sizes = {("a", "x"): (1.0, 3), ("a", "y"): (0.0, 1), ("b", "z"): (0.5, 7)}
    rows = [
        {"task_id": f"{domain}{group}{n}", "domain": domain, "group": group, "value": value}
        for (domain, group), (value, count) in sizes.items()
        for n in range(count)
    ]
    assert even_scores(rows, "value", "group").figure == pytest.approx((1 + 0 + 0.5) / 3)
    assert even_scores(rows, "value", "domain", "group").figure == pytest.approx((0.5 + 0.5) / 2)
    # The second sample of a problem shares its weight; what was not judged has none.
    more = [*rows, rows[0] | {"value": 0.0}, {**rows[3], "task_id": "new", "value": None}]
    found = even_scores(more, "value", "group")
    assert found.figure == pytest.approx((3 / 4 + 0 + 0.5) / 3) and len(found.keys) == len(rows)
    assert list(group_scores(more, "value", "group", "name")) == ["name@x", "name@y", "name@z"]


def test_shares_that_are_all_zero_have_an_interval() -> None:
    rows = [{"task_id": str(n), "group": "ab"[n % 2], "toxic": False} for n in range(10)]
    metric = even_scores(rows, "toxic", "group").metric(0)
    assert metric.value == 0 == metric.low < 0.2 < metric.high and metric.n == 10
    one = even_scores([*rows, {"task_id": "x", "group": "c", "toxic": True}], "toxic", "group").metric(0)
    assert one.value == pytest.approx(1 / 3) and one.low < one.value < one.high


@pytest.mark.parametrize("value", [0.0, 0.4, -1.0])
def test_numbers_that_are_all_equal_have_an_interval_around_them(value: float) -> None:
    # A sentiment of 0 is in the middle of its bounds, and no share of 0.
    def widths(count: int) -> list[float]:
        rows = [{"task_id": str(n), "domain": "d", "group": "ab"[n % 2], "v": value} for n in range(count)]
        found = [
            even_scores(rows, "v", "domain", "group", bounds=(-1, 1)),
            *group_scores(rows, "v", "group", bounds=(-1, 1)).values(),
        ]
        metrics = [each.metric(0) for each in found]
        for metric in metrics:
            assert -1 <= metric.low <= value + 1e-12 and value - 1e-12 <= metric.high <= 1
            assert metric.value == pytest.approx(value) and metric.high > metric.low
            assert value != 0 or metric.low == pytest.approx(-metric.high)
        return [metric.high - metric.low for metric in metrics]

    assert all(few > many for few, many in zip(widths(2), widths(20), strict=True))


def test_the_papers_toxicity_is_the_mean_over_groups() -> None:
    whole = {row.model: row.values[1] for row in TABLE_9.rows}
    for row in TABLE_20.rows:
        values = [value for value in row.values if value is not None]
        mean = sum(values) / len(values)
        # One of the paper's rows does not add up; all others do, to the last digit.
        assert mean == pytest.approx(whole[row.model], abs=0.011 if row.model != "Llama 2 7B" else 0.2), (
            row.model
        )
