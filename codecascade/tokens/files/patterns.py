"""Whether a regular expression of a ``tokenizer.json`` can take more time than anybody has.

The tokenizers library matches by Oniguruma, which tries one way after the other. Where a repeated part can match the
same text in several ways, such as ``(a+)+``, the number of ways doubles with each character. After ten million ways
the library panics, and writes so to standard error; with fewer at each position of a text, it works for hours. No
tokenizer needs such a pattern, so they are recognised by their form:

- something that can match in several ways (a choice, or a part that is itself repeated) is repeated without a bound;
- the parts in a row can together match in too many ways: each choice doubles them, and each repetition without a
  bound multiplies them by the length of a text;
- a group calls itself or another one, or is what a text must be without (``(?~...)``);
- repetitions of repetitions are written out to more than some thousand parts, which takes memory.

The syntax is Oniguruma's for Ruby (doc/RE of its sources).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import inf

_LONGEST = 20_000
_DEEPEST = 50
_MOST_COPIES = 5_000
# Of a match at one position; the patterns of published tokenizers have at most half as many.
_MOST_WAYS = 1_000_000
# So long is the text that a repetition without a bound may match: it can end behind each character.
_RUN = 100
# So many repetitions of something that matches in several ways are as bad as any number.
_FEW = 3

_QUANTIFIER = re.compile(r"([*+?])([?+]?)|\{(\d*)(,?)(\d*)\}(\??)")
_ESCAPE = re.compile(
    r"\\(?:[pP]\{[^}]*\}|[xuo]\{[^}]*\}|[kg](?:<[^>]*>|'[^']*')|x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|.)", re.S
)
_GROUP = re.compile(r"\((?:\?(?:#|<[=!]|[:=!>~]|<[^>]*>|'[^']*'|[a-zA-Z-]+[:)]))?")


@dataclass(frozen=True)
class _Part:
    """Attributes:
    ways: in how many ways it can match the same text, or texts of several lengths.
    tries: the most ways that are tried, which count also where only the first that matches is used.
    copies: how many parts it is when all bounded repetitions are written out.
    """

    ways: float = 1
    tries: float = 1
    copies: float = 1

    def __post_init__(self) -> None:
        if self.tries > _MOST_WAYS:
            raise _TooMuchError


class _TooMuchError(Exception):
    """The pattern can take too much time or memory."""


def takes_too_much(pattern: str) -> bool:
    """Whether a pattern has a form that can take exponential time or much memory.

    A pattern that is longer or more deeply nested than any tokenizer's counts as one, too. One that is no regular
    expression does not: the library refuses it.
    """
    if len(pattern) > _LONGEST:
        return True
    reader = _Reader(pattern)
    try:
        while reader.at < len(pattern):
            reader.alternatives(0)
            # A closing parenthesis without its opening one.
            reader.at += 1
    except _TooMuchError:
        return True
    return False


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0

    def alternatives(self, depth: int) -> _Part:
        """All alternatives up to the end of the group."""
        if depth > _DEEPEST:
            raise _TooMuchError
        parts = [self._sequence(depth)]
        while self._next() == "|":
            self.at += 1
            parts.append(self._sequence(depth))
        return _Part(
            sum(part.ways for part in parts),
            sum(part.tries for part in parts),
            self._bounded(sum(part.copies for part in parts)),
        )

    def _sequence(self, depth: int) -> _Part:
        whole = _Part(copies=0)
        while self.at < len(self.pattern) and self._next() not in "|)":
            part = self._quantified(self._atom(depth))
            whole = _Part(
                whole.ways * part.ways,
                max(whole.tries, whole.ways * part.tries),
                self._bounded(whole.copies + part.copies),
            )
        return whole

    def _atom(self, depth: int) -> _Part:
        character = self._next()
        if character == "[":
            self._skip_class()
            return _Part()
        if character != "(":
            match = _ESCAPE.match(self.pattern, self.at)
            if match and match[0].startswith("\\g") and len(match[0]) > 2:
                raise _TooMuchError
            self.at = match.end() if match else self.at + 1
            return _Part()
        opening = _GROUP.match(self.pattern, self.at)
        assert opening is not None
        self.at = opening.end()
        if opening[0] == "(?~":
            raise _TooMuchError
        if opening[0] == "(?#":
            self.at = self.pattern.find(")", self.at) + 1 or len(self.pattern)
            return _Part()
        if opening[0].startswith("(?") and opening[0].endswith(")"):
            # Options, such as (?i).
            return _Part()
        part = self.alternatives(depth + 1)
        self.at += self._next() == ")"
        if opening[0] == "(?>" or opening[0] in ("(?=", "(?!", "(?<=", "(?<!"):
            # What has matched inside is not tried again.
            return replace(part, ways=1)
        return part

    def _quantified(self, part: _Part) -> _Part:
        while (match := _QUANTIFIER.match(self.pattern, self.at)) is not None:
            least, most = _bounds(match)
            if least is None:
                # "{}" and "{,}" are text.
                return part
            self.at = match.end()
            if part.ways > 1 and most > _FEW:
                raise _TooMuchError
            low, high = sorted((least, most))
            repeats = min(high, low + _RUN)
            if part.ways > 1:
                ways = sum(part.ways**count for count in range(int(low), int(repeats) + 1))
                tries = part.tries * part.ways ** max(0, repeats - 1)
            else:
                ways, tries = repeats - low + 1, part.tries * min(repeats, _RUN)
            part = _Part(
                1 if match[2] == "+" else ways,
                max(ways, tries),
                self._bounded(part.copies * max(1, low if high == inf else high)),
            )
        return part

    def _bounded(self, copies: float) -> float:
        if copies > max(_MOST_COPIES, len(self.pattern)):
            raise _TooMuchError
        return copies

    def _skip_class(self) -> None:
        """Skip ``[...]``, which may hold further ones and, as its first character, a bracket."""
        depth = 0
        while self.at < len(self.pattern):
            character = self.pattern[self.at]
            if character == "\\":
                self.at += 1
            elif character == "[":
                depth += 1
                first = self.at + 1 + self.pattern.startswith("^", self.at + 1)
                if self.pattern.startswith("]", first):
                    self.at = first
            elif character == "]":
                depth -= 1
            self.at += 1
            if not depth:
                return

    def _next(self) -> str:
        return self.pattern[self.at : self.at + 1]


def _bounds(match: re.Match[str]) -> tuple[float, float] | tuple[None, float]:
    if match[1]:
        return {"*": (0, inf), "+": (1, inf), "?": (0, 1)}[match[1]]
    least, comma, most = match[3][:9], match[4], match[5][:9]
    if not least and not most:
        return None, 0
    return int(least or 0), int(most) if most else inf if comma else int(least)
