"""The one way in which numbers, sizes, times and addresses are written for people, in pages, tables and messages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from codecascade.ground.errors import one_line

LOGIN = re.compile(r"^((?:\w+://)?)([^/?#]*)@")
"""What stands before the host of a URL, which begins behind the last ``@``: the scheme; a name and a password."""
_SERVER_LOGIN = re.compile(r"(\bhttps?://)[^/?#\s]*@")
_LONGEST_NAME = 100
_PERIODS = (("years", 365 * 86_400), ("days", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def show_bytes(count: float) -> str:
    """Bytes, in powers of ten, with three significant digits at most.

    >>> show_bytes(900), show_bytes(12_345_678), show_bytes(999_999)
    ('900 bytes', '12.3 MB', '1 MB')
    """
    digits, letter = _scaled(count, "kMGT")
    return f"{digits} {letter}B" if letter else f"{digits} {'byte' if digits == '1' else 'bytes'}"


def show_count(value: float) -> str:
    """A number of tokens, weights or whatever is counted, as the field writes it: three significant digits at most.

    >>> show_count(77), show_count(81_900), show_count(6.74e9), show_count(5e11), show_count(4.1e17)
    ('77', '81.9k', '6.74B', '500B', '4.1e+17')
    >>> show_count(0.1234)
    '0.123'
    """
    return "".join(_scaled(value, "kMBT"))


def show_seconds(seconds: float) -> str:
    """A duration in its two largest units; the second unit is left out if it is zero.

    >>> show_seconds(48.4), show_seconds(200), show_seconds(720), show_seconds(7500)
    ('48 s', '3 min 20 s', '12 min', '2 h 5 min')
    >>> show_seconds(20 * 86_400), show_seconds(200_000), show_seconds(1e9)
    ('20 days', '2 days 8 h', '31 years 259 days')
    """
    for index, (unit, size) in enumerate(_PERIODS):
        # Rounding to the smaller unit comes first, so that the result never shows 60 s or 24 h.
        smaller, step = _PERIODS[min(index + 1, len(_PERIODS) - 1)]
        count, rest = divmod(round(seconds / step), size // step)
        if count:
            text = _lasting(count, unit)
            return f"{text} {_lasting(rest, smaller)}" if rest else text
    return "0 s"


def listed(names: Sequence[object], most: int = 8) -> str:
    """The first ``most`` of some names, each on one line and cut to 100 characters, and how many more there are.

    >>> listed(["a", "b", "c"], 2), listed([1, 2], 2)
    ('a, b and 1 more', '1, 2')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(one_line(str(name)[:_LONGEST_NAME]) for name in names[:most]) + more


def counted(count: int, noun: str) -> str:
    """A number of things, in whose plural an "s" is added.

    >>> counted(1, "dialogue"), counted(0, "dialogue"), counted(1200, "document")
    ('1 dialogue', '0 dialogues', '1,200 documents')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def without_login(url: str) -> str:
    """An address as it may be shown and kept: without a name and a password.

    >>> without_login("http://name:password@localhost:8000/v1")
    'http://localhost:8000/v1'
    """
    return LOGIN.sub(r"\1", url)


def shown_command(arguments: Sequence[str]) -> str:
    """A command of codecascade as reports keep it, to be copied into a shell; without logins of servers.

    >>> shown_command(["run", "a recipe", "--set", "teacher.endpoint=http://name:password@localhost"])
    "codecascade run 'a recipe' --set teacher.endpoint=http://localhost"
    """
    return shlex.join(["codecascade", *(_SERVER_LOGIN.sub(r"\1", argument) for argument in arguments)])


def said_of_blank(text: str) -> str:
    """What a reader is shown in place of a text that would look empty; empty if there is something to see.

    >>> said_of_blank(""), said_of_blank(" \\n"), said_of_blank(" x")
    ('(nothing)', '(white space alone)', '')
    """
    return "" if text.strip() else "(white space alone)" if text else "(nothing)"


def _lasting(count: int, unit: str) -> str:
    return f"{count:,} {unit[:-1] if count == 1 and unit in ('days', 'years') else unit}"


def _scaled(value: float, letters: str) -> tuple[str, str]:
    """``value`` scaled below 1,000, and the letter of that power of 1,000; larger values use exponent notation."""
    factor, letter = 1.0, ""
    for larger in letters:
        if float(f"{value / factor:.3g}") < 1000:
            break
        factor, letter = factor * 1000, larger
    if float(f"{value / factor:.3g}") >= 1000:
        return f"{value:.3g}", ""
    return f"{value / factor:.3g}", letter
