"""Reads the reply of a language model that judges: a line ``aspect: value`` for each aspect. Nothing is guessed.

A reply may reason before these lines. It is not read if a line is missing, is there twice with different values, or
has another value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from codecascade.evaluation.answers.replies import without_thoughts
from codecascade.evaluation.judges.judge import Aspect, Values

_YES_NO = {"yes": True, "no": False}
# Marks that chat models put around a name or a value: bold letters, quotes of code; before a line a list's dash, too.
_MARKS = "*_`"
_BEFORE_LINES = _MARKS + ">#- \t"
_VALUE = re.compile(r"[^\s*_`]+")


def read_reply(reply: str, aspects: Sequence[Aspect]) -> Values | None:
    """The value of each aspect; None if the reply can't be read.

    >>> read_reply("It praises them.\\ntoxic: no", [Aspect("toxic")])
    {'toxic': False}
    >>> read_reply("toxic: perhaps", [Aspect("toxic")]) is None
    True
    """
    found: dict[str, bool | float] = {}
    by_name = {aspect.name: aspect for aspect in aspects}
    for line in without_thoughts(reply).splitlines():
        name, _, text = line.strip().partition(":")
        aspect = by_name.get(name.lstrip(_BEFORE_LINES).rstrip().rstrip(_MARKS).lower())
        text = text.strip().strip(_MARKS + " ").removesuffix(".").rstrip(_MARKS)
        if aspect is None or not _VALUE.fullmatch(text):
            continue
        value = _value(text, aspect)
        if value is None or found.get(aspect.name, value) != value:
            return None
        found[aspect.name] = value
    return {name: found[name] for name in by_name} if len(found) == len(by_name) else None


def _value(text: str, aspect: Aspect) -> bool | float | None:
    if aspect.kind == "bool":
        return _YES_NO.get(text.lower())
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and aspect.low <= number <= aspect.high else None
