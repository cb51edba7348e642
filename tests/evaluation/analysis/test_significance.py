"""Paired tests against published examples, enumeration and their own symmetries."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.evaluation.analysis.significance import (
    MCNEMAR,
    SIGN_FLIP,
    difference_of_rates,
    mcnemar,
    paired,
    sign_flip,
)

answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def columns(both: int, second: int, first: int, neither: int) -> tuple[list[int], list[int]]:
    """Answers of the first and of the second, from the four counts."""
    return (
        [1] * both + [0] * second + [1] * first + [0] * neither,
        [1] * both + [1] * second + [0] * first + [0] * neither,
    )


def test_newcombe_1998_worked_example() -> None:
    """His method 10 on 36, 12, 2, 0: a difference of 0.2, 0.0569 to 0.3404."""
    found = difference_of_rates(*columns(36, 12, 2, 0))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_no_difference_has_an_interval_all_the_same() -> None:
    found = difference_of_rates(*columns(30, 0, 0, 10))
    assert found.value == 0
    assert -0.1 < found.low < 0 < found.high < 0.1


@given(answers)
def test_difference_contains_its_value_and_turns_round(pairs: list[tuple[bool, bool]]) -> None:
    first, second = zip(*pairs, strict=True)
    there, back = difference_of_rates(first, second), difference_of_rates(second, first)
    assert -1 <= there.low <= there.value + 1e-12
    assert there.value - 1e-12 <= there.high <= 1
    assert (back.value, back.low, back.high) == pytest.approx(
        (-there.value, -there.high, -there.low), abs=1e-9
    )


def test_mcnemar_is_a_fair_coin() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(10, 2) == mcnemar(2, 10) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    # No overflow.
    assert 0 < mcnemar(2000, 1500) < 1e-10


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=14))
def test_sign_flips_of_zeros_and_ones_are_mcnemar(differences: list[float]) -> None:
    expected = mcnemar(differences.count(1.0), differences.count(-1.0))
    assert sign_flip(differences) == pytest.approx(expected)


def test_sign_flip_counts_every_way() -> None:
    values = [0.5, -0.2, 0.9, 0.3, 0.1]
    sums = [abs(np.dot(signs, values)) for signs in product((1, -1), repeat=5)]
    expected = sum(total >= abs(sum(values)) - 1e-12 for total in sums) / 32
    assert sign_flip(values) == pytest.approx(expected)


def test_drawn_flips_are_near_the_exact_value_and_never_zero() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0.3, 1, size=16)
    # One more difference than is enumerated.
    exact, drawn = sign_flip(values), sign_flip([*values, 1e-15])
    assert drawn == pytest.approx(exact, abs=0.02)
    assert 0 < sign_flip(np.ones(200)) < 1e-4


def test_which_test_is_chosen() -> None:
    first, second = np.array([0.0, 1, 1, 0]), np.array([1.0, 1, 0, 0])
    assert paired(first, second)[2] == MCNEMAR
    assert paired(first, second / 2)[2] == SIGN_FLIP
    difference, p, test = paired(first, second, np.array([10.0, 20, 30, 40]))
    # Weights make of it a ratio.
    assert test == SIGN_FLIP
    assert difference.value == 0
    assert p == 1
