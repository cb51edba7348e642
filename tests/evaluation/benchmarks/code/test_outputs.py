from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from work import grows_linearly

from codecascade.evaluation.benchmarks.code.outputs import (
    apps_same_output,
    apps_same_value,
    same_output,
    same_value,
)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("1 2\n3\n", "1\n2 3"),
        ("Yes", "  Yes  \n"),
        ("0.3333333", "0.33333333333"),
        ("1e-3", "0.001"),
        ("5", "5.0"),
        # Within 1e-6 of it.
        ("1000000.0", "1000000.5"),
        ("nan", "NaN"),
        ("inf", "inf"),
        ("", "\n"),
        ("9" * 6000, "9" * 6000),
    ],
)
def test_the_same_output(expected: str, printed: str) -> None:
    assert same_output(expected, printed)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("1 2", "2 1"),
        ("2 2 1", "1 2"),
        ("1 2", "1 2 2"),
        ("Yes", "YES"),
        # Whole numbers have no tolerance.
        ("1000000007", "1000000006"),
        ("9" * 6000, "9" * 5999 + "8"),
        ("0.5", "0.50001"),
        ("0.5", "half"),
        ("1", ""),
        ("inf", "-inf"),
        ("0.5", "nan"),
        ("1.5", "1e999999999"),
        ("0.5", "1e99999999999999999999"),
        # A code, not a number.
        ("00101", "101"),
        ("7", "007"),
        ("1", "\u0661"),
        ("1000.0", "1_000"),
    ],
)
def test_another_output(expected: str, printed: str) -> None:
    assert not same_output(expected, printed)


def test_as_apps_compares_order_and_repetitions_do_not_count() -> None:
    assert apps_same_output("2 2 1\n", "1 2") and apps_same_output("a b\nc\n", "c\nb a\n")
    assert apps_same_output("0.12345", "0.1234502") and apps_same_output(" 3 \n", "3")
    assert apps_same_output("1\n2\n", "\n1\n\n2")
    # Rounded to three decimals, as sets.
    assert apps_same_output("0.1234 2", "2.0 0.1230001")
    assert apps_same_output("inf", "Infinity") and not apps_same_output("inf", "7")
    assert not apps_same_output("1 2", "1 3") and not apps_same_output("yes", "no")
    assert apps_same_output("1\n \n2", "1\n\n2"), "a line of white space is an empty one"
    assert apps_same_output("1\n2\n\n\n", "1\n2") and apps_same_output("a\nb", "a\u2028b")
    assert not apps_same_output("{1, 2}", "{2, 1}") and not apps_same_output("é", "e\u0301")


def test_values() -> None:
    assert same_value([1, [2.0, "a"]], [1, [2.0000001, "a"]]) and same_value({"1": 0.5}, {"1": 0.5})
    assert same_value(2.5, 2.5000001) and same_value(True, True) and same_value(None, None)
    for expected, result in [([1, 2], [2, 1]), ([1], [1, 1]), ({"a": 1}, {"b": 1}), (1, 2), (0.5, "0.5")]:
        assert not same_value(expected, result)
    assert not same_value(10**400 + 1, 10**400) and not same_value(0.5, 10**400)


@pytest.mark.parametrize(
    ("expected", "result", "same"),
    [
        # The whole result.
        ([1, 2], (1, 2), True),
        # Wrapped in a list.
        ([[1, 2]], (1, 2), True),
        ([[[1, 2], [3, 4]]], [(1, 2), (3, 4)], True),
        # Not wrapped: APPS' runner lets only lists pass.
        ([[1, 2], [3, 4]], [(1, 2), (3, 4)], False),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]], True),
        # Deeper tuples.
        ([[[1, [2, 3]]]], [(1, (2, 3))], False),
        ({"1": 2}, {1: 2}, True),
        ([{"1": 2}], {1: 2}, True),
        # Its keys are whole numbers.
        ({"1": 2}, {"1": 2}, False),
        ({"a": 2}, {"a": 2}, True),
        # Deeper keys stay texts.
        ([{"a": {"1": 2}}], {"a": {1: 2}}, False),
        ([], (), True),
        ([], [[]], False),
        ([[]], [], True),
        (["ab"], "ab", True),
        ("ab", ["ab"], False),
        ([1], True, True),
        (1, 1.0, True),
        ([0.3], 0.1 + 0.2, False),
        ([["a", 1]], [("a",), 1], False),
        ([None], None, True),
        ("e\u0301", "é", False),
    ],
)
def test_values_as_apps_compares_them(expected: object, result: object, same: bool) -> None:
    assert apps_same_value(expected, result) is same


@pytest.mark.parametrize("same", [same_output, apps_same_output])
@pytest.mark.parametrize(
    "unit", ["1", "1.", "0", ".", "1 ", "e1", "-", "\n", "inf", "1e", " 1\n", "_1", "\u0661"]
)
@pytest.mark.parametrize("behind", ["", "x", ".x", "e"])
def test_outputs_are_compared_in_linear_time(
    same: Callable[[str, str], bool], unit: str, behind: str
) -> None:
    for expected in ("1", "0.5", "1 2\n3 4"):
        assert grows_linearly(partial(same, expected), lambda size: unit * size + behind, size=8_000)
