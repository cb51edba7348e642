"""Compares what a program printed, or a function returned, with what was expected. It runs outside the sandbox."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

_TOLERANCE = 1e-6
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?inf(?:inity)?|nan", re.IGNORECASE
)
# How many decimals the last step of APPS' comparison keeps.
_ROUNDED = 3


def same_output(expected: str, printed: str) -> bool:
    """Whether both texts have the same tokens in the same order, whatever white space is between them.

    If a fraction is expected, a number within 1e-6 of it is right (absolute, or relative to it), however it is
    written. If a whole number is expected, another whole number must be equal character by character (``007`` is not
    7: it may be a code), and a fraction must be within 1e-6 of it.
    """
    wanted, given = expected.split(), printed.split()
    return len(wanted) == len(given) and all(map(_same_token, wanted, given))


def same_value(expected: Any, result: Any) -> bool:
    """:func:`same_output` for JSON values: lists in order, objects by key, fractions within 1e-6."""
    if isinstance(expected, list) and isinstance(result, list):
        return len(expected) == len(result) and all(map(same_value, expected, result))
    if isinstance(expected, dict) and isinstance(result, dict):
        return expected.keys() == result.keys() and all(
            same_value(expected[key], result[key]) for key in expected
        )
    if isinstance(expected, float) and isinstance(result, int | float):
        return _near(expected, result)
    return bool(expected == result)


def apps_same_output(expected: str, printed: str) -> bool:
    """The comparison of APPS' own runner (hendrycks/apps, eval/testing_util.py), for figures beside published ones.

    Its last steps compare the *set* of each line's tokens, and the *set* of these sets. So order and repetitions do
    not
    count: ``1 2`` passes for ``2 2 1``.
    """
    lines = printed.splitlines()
    if any(
        expected.strip() == "\n".join(given).strip() for given in (lines, [line.strip() for line in lines])
    ):
        return True
    wanted = [line.strip() for line in expected.split("\n") if line]
    given = [line for line in lines if line]
    if wanted in (lines, given) or _near_lists(wanted, given):
        return True
    wanted_tokens, given_tokens = ([line.split() for line in text] for text in (wanted, given))
    given_tokens = [tokens for tokens in given_tokens if tokens]
    if _sets(wanted_tokens) == _sets(given_tokens):
        return True
    try:
        return _sets(_rounded(wanted_tokens)) == _sets(_rounded(given_tokens))
    except ValueError:
        return False


def apps_same_value(expected: Any, result: Any) -> bool:
    """The comparison of APPS' own runner for what a function returned, which may have tuples and keys unknown to
    JSON.

    A tuple counts as a list if it is the whole result, or if it is in a list and the expected value is wrapped in a
    list.
    """
    expected = _whole_keys(expected)
    if isinstance(result, tuple):
        result = list(result)
    if result == expected:
        return True
    if not isinstance(expected, list) or not expected:
        return False
    if result == expected[0]:
        return True
    tuples = isinstance(result, list) and bool(result) and isinstance(result[0], tuple)
    return (
        tuples and all(isinstance(each, Iterable) for each in result) and [*map(list, result)] == expected[0]
    )


def _whole_keys(expected: Any) -> Any:
    """The expected value with whole numbers as keys again, which JSON had turned into texts.

    This is done for an object that is the expected value, or is wrapped in a list.
    """
    first = expected[0] if isinstance(expected, list) and expected else expected
    if not isinstance(first, dict):
        return expected
    try:
        return [{int(key): value for key, value in first.items()}]
    except ValueError:
        return expected


def _same_token(expected: str, given: str) -> bool:
    if expected == given:
        return True
    is_whole = _WHOLE.fullmatch(expected) is not None
    if (is_whole and _WHOLE.fullmatch(given)) or not (
        _NUMBER.fullmatch(expected) and _NUMBER.fullmatch(given)
    ):
        return False
    try:
        wanted, number = Decimal(expected), Decimal(given)
    except InvalidOperation:
        # The exponent is too large.
        return False
    if wanted.is_nan() or number.is_nan():
        return wanted.is_nan() and number.is_nan()
    if wanted == number:
        return True
    if is_whole:
        return abs(wanted - number) < _TOLERANCE
    return _near(float(wanted), float(number))


def _near(expected: float, given: float) -> bool:
    try:
        return math.isclose(expected, given, rel_tol=0, abs_tol=_TOLERANCE * max(1.0, abs(expected)))
    except OverflowError:
        # The whole number is too large for a float.
        return False


def _near_lists(wanted: Sequence[str], given: Sequence[str]) -> bool:
    """numpy's ``allclose``, with one number on each line."""
    try:
        pairs = [(float(one), float(other)) for one, other in zip(given, wanted, strict=True)]
    except ValueError:
        return False
    return all(
        one == other or (math.isfinite(other) and abs(one - other) <= 1e-8 + 1e-5 * abs(other))
        for one, other in pairs
    )


def _sets(lines: Sequence[Sequence[Any]]) -> frozenset[frozenset[Any]]:
    return frozenset(frozenset(tokens) for tokens in lines)


def _rounded(lines: Sequence[Sequence[str]]) -> list[list[float]]:
    return [[round(float(token), _ROUNDED) for token in tokens] for tokens in lines]
