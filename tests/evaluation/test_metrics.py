from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import (
    Metric,
    bootstrap_mean,
    bootstrap_ratio,
    paired_difference,
    pass_at_k,
    rate,
    wilson,
)
from codecascade.evaluation.notation import format_interval, format_range
from codecascade.evaluation.rates import pass_at_k_scores
from codecascade.evaluation.scores import Scores, metrics_of


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_gives_the_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    metric = wilson(successes, n)
    assert (metric.value, metric.n) == (successes / n, n)
    assert (metric.low, metric.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_no_answers_leave_everything_open() -> None:
    metric = rate([])
    assert (metric.value, metric.low, metric.high, metric.n) == (0.0, 0.0, 1.0, 0)


@given(st.integers(1, 9), st.data())
def test_pass_at_k_is_the_share_of_lucky_draws(n: int, data: st.DataObject) -> None:
    correct, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(combinations([True] * correct + [False] * (n - correct), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, draws)) / len(draws))


@pytest.mark.parametrize("arguments", [(3, 4, 1), (3, 1, 4), (3, 1, 0), (3, -1, 1)])
def test_pass_at_k_refuses_what_makes_no_sense(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError):
        pass_at_k(*arguments)


def test_a_ratio_weighs_by_size_and_keeps_its_interval_by_seed() -> None:
    draw = np.random.default_rng(0)
    sizes = draw.integers(10, 1000, 200)
    sums = sizes * draw.normal(2.0, 0.3, 200)
    metric = bootstrap_ratio(sums, sizes, seed=1)
    assert metric.value == pytest.approx(sums.sum() / sizes.sum())
    assert metric == bootstrap_ratio(sums, sizes, seed=1) != bootstrap_ratio(sums, sizes, seed=2)
    # The delta method's standard error of a ratio, from the textbook.
    error = np.sqrt(((sums - metric.value * sizes) ** 2).sum()) / sizes.sum()
    assert (metric.high - metric.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    with pytest.raises(ValueError):
        bootstrap_mean([])


def test_pairs_find_what_separate_intervals_miss() -> None:
    draw = np.random.default_rng(0)
    hardness = draw.uniform(size=300)
    # The same problems and some more.
    worse, better = hardness < 0.3, hardness < 0.36
    assert rate(worse.tolist()).high > rate(better.tolist()).low
    difference = paired_difference(worse, better)
    assert difference.low > 0 and difference.value == pytest.approx((better.sum() - worse.sum()) / 300)
    with pytest.raises(ValueError, match="not the same problems"):
        paired_difference([1, 0], [1])


@pytest.mark.parametrize("n", [3, 100, 1033])
def test_shares_at_the_ends_have_exact_ends(n: int) -> None:
    assert wilson(0, n).low == 0 and wilson(n, n).high == 1


@pytest.mark.parametrize("passed", [True, False])
def test_problems_that_are_all_alike_do_not_make_a_figure_certain(passed: bool) -> None:
    """Three problems, each solved by all of its samples: drawing them again gives 100 % each time."""
    values = {(str(problem), ""): [float(passed)] * 5 for problem in range(3)}
    found = metrics_of(pass_at_k_scores(values, ks=(1, 5)))
    assert found["pass@1"] == found["pass@5"] == wilson(3 * passed, 3)


@pytest.mark.parametrize("value", [-1.0, -0.598, 0.0, 0.4, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_alike_values_between_bounds_leave_room_on_both_sides(value: float, weighted: bool) -> None:
    def metric(n: int) -> Metric:
        weights = np.linspace(0.1, 0.7, n) if weighted else None
        values = np.full(n, value) if weights is None else value * weights
        keys = tuple((f"task/{index}", "") for index in range(n))
        return Scores(keys, values, weights, bounds=(-1.0, 1.0)).metric(0)

    one, many = metric(1), metric(100)
    assert one.value == pytest.approx(value) and one.n == 1
    assert -1 <= one.low <= value <= one.high <= 1
    assert one.high - one.low > 1.5, "one text says little"
    assert one.low <= many.low and many.high <= one.high and many.high - many.low < 0.5
    assert (one.low == -1) is (value == -1) and (one.high == 1) is (value == 1)


@given(st.lists(st.integers(0, 10), min_size=1, max_size=6), st.booleans())
def test_no_share_is_certain(correct: list[int], once: bool) -> None:
    """However few problems there are, and however alike: drawing them again says nothing about others."""
    correct = correct if once else correct[:1] * len(correct)
    values = {(str(n), ""): [float(at < right) for at in range(10)] for n, right in enumerate(correct)}
    for name, found in metrics_of(pass_at_k_scores(values, ks=(1, 5, 10))).items():
        assert 0 <= found.low <= found.value + 1e-9 and found.value - 1e-9 <= found.high <= 1, name
        assert found.has_interval and (found.n > 1 or found.high - found.low > 0.7), name


def test_a_loss_of_one_text_has_no_interval() -> None:
    rows = [{"task_id": "a", "nats": 100.0, "tokens": 100, "bytes": 300}]
    for found in metrics_of(BENCHMARKS["validation"].scores(rows)).values():
        assert found.value > 0 and not found.has_interval
        assert format_interval(found, "loss") == "–" and format_range(found, "loss") == "no interval"
    rows.append({**rows[0], "task_id": "b", "nats": 120.0})
    assert all(found.has_interval for found in metrics_of(BENCHMARKS["validation"].scores(rows)).values())


def test_empty_texts_leave_figures_numbers() -> None:
    empty = {"task_id": "a", "nats": 0.0, "tokens": 0, "bytes": 0}
    other = {"task_id": "b", "nats": 50.0, "tokens": 50, "bytes": 200}
    scores = BENCHMARKS["validation"].scores
    assert not any(found.is_measured for found in metrics_of(scores([empty])).values())
    loss = metrics_of(scores([empty, other, {**other, "task_id": "c", "nats": 60.0}]))["loss"]
    assert (
        loss.value == pytest.approx(1.1)
        and loss.low == pytest.approx(1.0)
        and loss.high == pytest.approx(1.2)
    )
