"""Where a JavaScript or TypeScript text has each name, and whether it binds the name there or uses it.

Comments and strings are blanked out before. All brackets and names are found in one pass, however many are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

NAME = r"[A-Za-z_$][\w$]*"
_NAMES = re.compile(rf"(?<![\w$.]){NAME}|(?<=\.\.\.){NAME}")
_BRACKETS = re.compile(r"[()\[\]{}]")
_PAIRS = {")": "(", "]": "[", "}": "{"}
_LOOKED_AT = 80
"""Characters before or behind a place that say what it is."""
_DEEPEST = 8
"""Brackets around a name, at most, that are looked at."""
_DECLARED = re.compile(r"\b(?:const|let|var|function[ \t]*\*?|class|enum|interface|type|namespace)\s*\Z")
_PATTERN = re.compile(r"\b(?:const|let|var)\s*\Z")
_LIST_OF_NAMES = re.compile(r"\b(?:import|export)(?:[ \t]+type)?\s*\Z")
_NO_PARAMETERS = re.compile(r"\b(?:if|for|while|switch|with|for[ \t]+await|extends\s[\w$.\s]{1,60})\s*\Z")
_BODY = re.compile(r"(?::[^={;()]{1,60})?\s*(?:=>|\{)")
"""Behind parameters. A colon behind a space is a condition's (``a ? b(c) : {}``)."""
_ARROW = re.compile(r"\s*=>")
_KEY = re.compile(r"\s*\??:(?!:)")


class ScriptNames:
    """The names of a text, as far as they are not behind a point.

    Args:
        code: the text without comments and strings.
    """

    def __init__(self, code: str) -> None:
        self._code = code

    def places(self, name: str, after: int = 0) -> Iterator[int]:
        """Where ``name`` stands, from ``after`` on."""
        return (place for place in self._places.get(name, ()) if place >= after)

    def is_listed(self, place: int) -> bool:
        """Whether a name is in the braces of an import or export."""
        return any(self._before(opened, _LIST_OF_NAMES) for opened in self._around(place))

    def is_bound(self, place: int, name: str) -> bool:
        """Whether a name is declared here, or is a parameter."""
        if self._before(place, _DECLARED) or _ARROW.match(self._code, place + len(name)):
            return True
        for opened in self._around(place):
            if self._code[opened] == "(":
                if self._has_body(opened) and not self._before(opened, _NO_PARAMETERS):
                    return True
            elif self._before(opened, _PATTERN):
                return True
        return False

    def is_key(self, place: int, name: str) -> bool:
        """Whether a name only names a property or a method here, in an object, a class or an interface."""
        end = place + len(name)
        if _KEY.match(self._code, end):
            return True
        return self._code[end : end + 1] == "(" and self._has_body(end)

    def _has_body(self, opened: int) -> bool:
        """Whether a body follows the bracket that closes this one: it is around parameters, or a condition."""
        closed = self._closed.get(opened)
        return closed is not None and _BODY.match(self._code, closed + 1) is not None

    def _before(self, place: int, pattern: re.Pattern[str]) -> bool:
        return pattern.search(self._code[max(0, place - _LOOKED_AT) : place]) is not None

    def _around(self, place: int) -> Iterator[int]:
        """The brackets that are open at a name, the innermost first."""
        opened = self._inside.get(place, -1)
        for _ in range(_DEEPEST):
            if opened < 0:
                return
            yield opened
            opened = self._inside[opened]

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for match in _NAMES.finditer(self._code):
            found.setdefault(match[0], []).append(match.start())
        return found

    @cached_property
    def _inside(self) -> dict[int, int]:
        """For each name and each opening bracket the bracket that it is in; -1 outside of all."""
        return self._brackets[0]

    @cached_property
    def _closed(self) -> dict[int, int]:
        """For each opening bracket the place where it is closed."""
        return self._brackets[1]

    @cached_property
    def _brackets(self) -> tuple[dict[int, int], dict[int, int]]:
        inside: dict[int, int] = {}
        closed: dict[int, int] = {}
        opened: list[int] = []
        names = sorted(place for places in self._places.values() for place in places)
        at = 0
        for match in _BRACKETS.finditer(self._code):
            while at < len(names) and names[at] < match.start():
                inside[names[at]] = opened[-1] if opened else -1
                at += 1
            if match[0] not in _PAIRS:
                inside[match.start()] = opened[-1] if opened else -1
                opened.append(match.start())
            elif opened and self._code[opened[-1]] == _PAIRS[match[0]]:
                closed[opened.pop()] = match.start()
        inside.update((place, opened[-1] if opened else -1) for place in names[at:])
        return inside, closed
