"""Draws gaps from the lines of code of a file, as people's cursors are in it: to measure a model and to train one."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from codecascade.corpus.code.code_lines import CodeLine, code_lines
from codecascade.corpus.code.structure import Body, bodies, parses

GapKind = Literal["line", "rest", "block", "function", "span"]
GAP_KINDS: tuple[GapKind, ...] = get_args(GapKind)
WEIGHTS: dict[GapKind, int] = {"line": 2, "rest": 2, "block": 1, "function": 1, "span": 1}
"""How many of each kind there are, as far as files have them. Editors ask for lines and rests of lines most."""
LONGEST_MIDDLE = 600
"""Characters."""
_TOKEN = re.compile(r"\w+|[^\w\s]")
_BLOCK_LINES = range(2, 9)
_LONGEST_SPAN = 300
_WITHIN_NAME = 0.2
"""The share of cursors that are inside a name, in lines that have one of three letters."""


@dataclass(frozen=True)
class Gap:
    """A masked part of a text, ``text[start:end]``. It ends in no white space unless it is a span."""

    kind: GapKind
    start: int
    end: int


class GapDrawer:
    """Draws the gaps of one file. Each kind is drawn without repetition, in an order that ``rng`` decides.

    Args:
        most_characters: of a middle.
    """

    def __init__(
        self, text: str, language: str, path: str, rng: random.Random, *, most_characters: int
    ) -> None:
        self.text = text
        self._language, self._path = language, path
        self._rng = rng
        self._most = most_characters
        self.lines = [line for line in code_lines(text, language) if line.end - line.start <= most_characters]
        self._for_lines, self._for_rests = self._shuffled(self.lines), self._shuffled(self.lines)
        self._spans_left = len(self.lines)
        self._drawn: set[tuple[int, int]] = set()

    def draw(self, kind: GapKind) -> Gap | None:
        """Another gap of this kind; None if the file has no more."""
        if kind == "line":
            return self._line()
        if kind == "rest":
            return self._rest()
        if kind == "block":
            return self._block()
        return self._function() if kind == "function" else self._span()

    def _line(self) -> Gap | None:
        line = self._for_lines.pop() if self._for_lines else None
        return None if line is None else Gap("line", line.start, line.end)

    def _rest(self) -> Gap | None:
        while self._for_rests:
            line = self._for_rests.pop()
            if (cursor := self._cursor(line)) is not None:
                return Gap("rest", cursor, line.end)
        return None

    def _cursor(self, line: CodeLine) -> int | None:
        """A position within a line: at the border of a token, or in one of five lines within a name.

        Behind it there is more than punctuation.
        """
        code = self.text[line.start : line.end]
        tokens = list(_TOKEN.finditer(code))
        within = [
            position
            for token in tokens
            if token[0].isidentifier()
            for position in range(token.start() + 1, token.end() - 1)
        ]
        borders = sorted({position for token in tokens for position in token.span()})
        for positions in (within, borders) if self._rng.random() < _WITHIN_NAME else (borders,):
            usable = [each for each in positions if each > 0 and re.search(r"\w", code[each:])]
            if usable:
                return line.start + self._rng.choice(usable)
        return None

    def _block(self) -> Gap | None:
        while self._for_blocks:
            body, first = self._for_blocks.pop()
            ends = []
            for last in range(first, len(body.statements)):
                gap = self._of_lines("block", body.statements[first][0], body.statements[last][1])
                count = body.statements[last][1] - body.statements[first][0] + 1
                is_all = body.whole and first == 0 and last == len(body.statements) - 1
                if gap is None or count >= _BLOCK_LINES.stop:
                    break
                if count in _BLOCK_LINES or (is_all and body.kind == "block"):
                    ends.append(gap)
            if ends:
                return self._rng.choice(ends)
        return None

    def _function(self) -> Gap | None:
        while self._for_functions:
            body = self._for_functions.pop()
            gap = self._of_lines("function", body.statements[0][0], body.statements[-1][1])
            if gap is not None:
                return gap
        return None

    def _of_lines(self, kind: GapKind, first: int, last: int) -> Gap | None:
        """From the indentation of the first line to the end of the last; None if it is too long, or has no code."""
        start, end = self._starts[first], self._starts[last + 1] - 1
        lines = self.text[start:end]
        start += len(lines) - len(lines.lstrip())
        gap = Gap(kind, start, start + len(lines.strip()))
        if gap.end - gap.start > self._most or not re.search(r"\w", self.text[gap.start : gap.end]):
            return None
        return gap

    def _span(self) -> Gap | None:
        while self._spans_left > 0:
            self._spans_left -= 1
            line = self._rng.choice(self.lines)
            start = self._rng.randrange(line.start, line.end)
            length = self._rng.randint(1, min(_LONGEST_SPAN, self._most))
            gap = Gap("span", start, min(start + length, len(self.text)))
            if (gap.start, gap.end) not in self._drawn and re.search(r"\w", self.text[gap.start : gap.end]):
                self._drawn.add((gap.start, gap.end))
                return gap
        return None

    def _shuffled(self, items: Sequence[CodeLine]) -> list[CodeLine]:
        return self._rng.sample(items, len(items))

    @cached_property
    def _starts(self) -> list[int]:
        """Where each line begins, and where one behind the last would."""
        starts = [0, *(found.end() for found in re.finditer("\n", self.text))]
        return [*starts, len(self.text) + 1]

    @cached_property
    def is_parsed(self) -> bool:
        """Whether the file parses; False, too, if there is no parser for its language."""
        return bool(parses(self.text, self._language, self._path))

    @cached_property
    def _bodies(self) -> list[Body]:
        return bodies(self.text, self._language, self._path)

    @cached_property
    def _for_blocks(self) -> list[tuple[Body, int]]:
        found = [(body, first) for body in self._bodies for first in range(len(body.statements))]
        return self._rng.sample(found, len(found))

    @cached_property
    def _for_functions(self) -> list[Body]:
        found = [body for body in self._bodies if body.kind == "function" and body.whole]
        return self._rng.sample(found, len(found))


def drawn_gap(
    text: str,
    language: str,
    path: str,
    rng: random.Random,
    kinds: Sequence[GapKind],
    *,
    longest: int = LONGEST_MIDDLE,
) -> Gap | None:
    """One gap of a file, of a kind that is drawn by :data:`WEIGHTS` among those that it has; None if it has none.

    Args:
        longest: the most characters of a middle.
    """
    drawer = GapDrawer(text, language, path, rng, most_characters=longest)
    left = list(kinds) if drawer.lines else []
    while left:
        [kind] = rng.choices(left, [WEIGHTS[each] for each in left])
        if (gap := drawer.draw(kind)) is not None:
            return gap
        left.remove(kind)
    return None
