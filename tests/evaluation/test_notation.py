"""How figures, differences and p-values are written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.notation import (
    digits_to_see,
    format_interval,
    format_metric,
    format_p_value,
    format_value,
)

shares = st.floats(0, 1)


@given(shares, shares, st.sampled_from(["loss", "pass@1"]))
def test_figures_that_differ_are_not_written_alike(first: float, second: float, metric: str) -> None:
    difference = second - first
    more = digits_to_see(difference, metric, first, second)
    if abs(difference) > 1e-12:
        assert float(format_value(abs(difference), metric, more)) != 0
        assert format_value(first, metric, more) != format_value(second, metric, more)


def test_usual_differences_have_the_usual_digits() -> None:
    assert digits_to_see(0.01, "pass@1", 0.5, 0.51) == digits_to_see(-0.25, "loss", 1.25, 1.0) == 0
    found = Metric(0.12345, 0.1, 0.2, 9)
    assert format_metric(found, "pass@1", with_unit=True) == "12.3 %"
    assert format_metric(found, "pass@1", 1, with_unit=True) == "12.35 %"
    assert (format_interval(found, "loss"), format_interval(found, "loss", 1)) == (
        "0.100–0.200",
        "0.1000–0.2000",
    )


@given(st.floats(0.001, 1))
def test_a_p_value_shows_on_which_side_of_a_twentieth_it_lies(value: float) -> None:
    text = format_p_value(value)
    assert (float(text) < 0.05) == (value < 0.05)
    assert abs(float(text) - value) <= 0.05 * value


def test_p_values_that_round_to_a_twentieth() -> None:
    assert [format_p_value(value) for value in (0.0498, 0.04996, 0.05, 0.0502)] == [
        "0.0498",
        "0.04996",
        "0.05",
        "0.05",
    ]
    assert [format_p_value(value) for value in (0.0004, 0.0123, 0.0995, 0.6)] == [
        "< 0.001",
        "0.012",
        "0.1",
        "0.60",
    ]
