"""Checks the type and range of values from files that somebody else wrote."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any

from codecascade.ground.errors import UserError

_LONGEST = 200
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel = 2
_SHORT.maxlist = _SHORT.maxdict = 4


def short(value: Any) -> str:
    """A value as a message shows it: at most a few lines, however long or deep it is."""
    shown = _SHORT.repr(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]} ..."


def first_words(error: BaseException) -> str:
    """The message of a library's exception, on one line and shortened: it may quote the content of a file."""
    words = " ".join(str(error).split())
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} ..."


def integer(data: Mapping[str, Any], key: str, default: int | None = None, *, least: int, most: int) -> int:
    """An integer from ``least`` to ``most``; 4.0 counts as one.

    Raises:
        UserError: the key is missing (or null) and there is no default, or the value is something else.
    """
    value = _number(data, key, default, "an integer")
    if isinstance(value, float) and not value.is_integer():
        raise UserError(f"must be an integer (got {value})", key=key)
    return int(_within(value, key, least, most))


def number(
    data: Mapping[str, Any], key: str, default: float | None = None, *, least: float, most: float
) -> float:
    """A finite number from ``least`` to ``most``. Raises as :func:`integer`."""
    return float(_within(_number(data, key, default, "a number"), key, least, most))


def flag(data: Mapping[str, Any], key: str, *, default: bool = False) -> bool:
    """True or false; ``default`` where the key is missing or null.

    Raises:
        UserError: the value is something else.
    """
    value = data.get(key)
    if not isinstance(value, bool | None):
        raise UserError(f"must be true or false (got {short(value)})", key=key)
    return default if value is None else value


def text(data: Mapping[str, Any], key: str) -> str | None:
    """Text; None where the key is missing or null.

    Raises:
        UserError: the value is something else.
    """
    value = data.get(key)
    if not isinstance(value, str | None):
        raise UserError(f"must be text (got {short(value)})", key=key)
    return value


def _number(data: Mapping[str, Any], key: str, default: float | None, what: str) -> int | float:
    value = default if data.get(key) is None else data[key]
    if value is None:
        raise UserError("is missing", key=key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"must be {what} (got {short(value)})", key=key)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"must be {what}, and finite (got {value})", key=key)
    return value


def _within(value: float, key: str, least: float, most: float) -> int | float:
    if value < least:
        bound = "> 0" if least == 1 else f"at least {least:,}"
        raise UserError(f"must be {bound} (got {short(value)})", key=key)
    if value > most:
        raise UserError(f"must be at most {most:,} (got {short(value)})", key=key)
    return value
