"""Values of other people's files: the type and the range, and messages of a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import flag, integer, number, short, text

ODD: tuple[Any, ...] = ("1", [1], {"a": 1}, True, float("nan"), float("inf"), 10**400, -(10**400), np.ones(3))


@pytest.mark.parametrize("value", [*ODD, 0, 11, 2.5])
def test_no_integer_of_the_range(value: Any) -> None:
    with pytest.raises(UserError, match="a: must be") as caught:
        integer({"a": value}, "a", least=1, most=10)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [*ODD, 0, 11])
def test_no_number_of_the_range(value: Any) -> None:
    with pytest.raises(UserError, match="a: must be") as caught:
        number({"a": value}, "a", least=0.5, most=10)
    assert len(str(caught.value)) < 300


def test_what_is_taken() -> None:
    assert integer({"a": 4.0}, "a", least=1, most=10) == 4
    assert integer({"a": None}, "a", 7, least=1, most=10) == 7
    assert number({"a": 3}, "a", least=0.5, most=10) == 3.0
    assert number({}, "a", 2.0, least=0.5, most=10) == 2.0
    assert flag({"a": True}, "a") and flag({}, "a", default=True) and not flag({"a": None}, "a")
    assert text({"a": "b"}, "a") == "b" and text({}, "a") is None
    with pytest.raises(UserError, match="a: is missing"):
        integer({}, "a", least=1, most=10)


@pytest.mark.parametrize("value", [1, "true", [], 0.0])
def test_no_flag(value: Any) -> None:
    with pytest.raises(UserError, match="must be true or false"):
        flag({"a": value}, "a")


@pytest.mark.parametrize("value", [1, True, [], {}])
def test_no_text(value: Any) -> None:
    with pytest.raises(UserError, match="must be text"):
        text({"a": value}, "a")


def test_messages_stay_short() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    for value in (deep, "x" * 10**6, {"x" * 10**6: 1}, list(range(10**5)), [["x" * 10**5] * 9] * 9, 10**4000):
        assert len(short(value)) < 250
