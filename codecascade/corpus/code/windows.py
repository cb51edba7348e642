"""What an editor sends of a file: as many lines around the gap as there is room for, the nearest ones.

:func:`~codecascade.generation.editing.prompt.fit_around_cursor` chooses alike, for one cursor. Here many gaps may be
in one file, and each of its lines is counted once for all of them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

PREFIX_SHARE = 0.75
"""What the text before a gap gets of the room, where not all fits."""
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class FileWindows:
    """Cuts prefixes and suffixes of one file. Each of its lines is counted once.

    Lines are counted one by one, which is a little more than a tokenizer makes of them together.

    Args:
        count: the tokens of a text.
    """

    def __init__(self, text: str, count: Callable[[str], int]) -> None:
        self.text = text
        self._count = count
        self._starts = [found.start() for found in _LINE.finditer(text)] or [0]
        self._tokens: dict[int, int] = {}

    def around(self, start: int, end: int, room: int, prefix_share: float) -> tuple[str, str]:
        """``(prefix, suffix)`` of the gap ``text[start:end]``, of at most ``room`` tokens together.

        Where not all fits, the prefix gets ``prefix_share`` of the room, and what the suffix leaves over; and the
        suffix what the prefix does.
        """
        first, last = bisect_right(self._starts, start) - 1, bisect_right(self._starts, end) - 1
        line_end = self._starts[last + 1] if last + 1 < len(self._starts) else len(self.text)
        before = [self.text[self._starts[first] : start]] if start > self._starts[first] else []
        after = [self.text[end:line_end]] if line_end > end else []
        above = _costs(self._count, before, (self._line(n) for n in reversed(range(first))), room)
        below = _costs(self._count, after, (self._line(n) for n in range(last + 1, len(self._starts))), room)
        for_suffix = max(int(room * (1 - prefix_share)), room - sum(above))
        lines_below, used = _fitting(below, for_suffix)
        if not lines_below and after:
            used = for_suffix
        lines_above, _ = _fitting(above, room - used)
        return self._before(start, first, lines_above, before, room - used), self._after(
            end, last, lines_below, after, for_suffix
        )

    def _before(self, start: int, line: int, lines: int, part: Sequence[str], room: int) -> str:
        """The text of so many lines before the gap. Where not even the line's own part fits, the end of that."""
        if not lines:
            return self._most(room, part[0], from_end=True) if part else ""
        return self.text[self._starts[line - (lines - len(part))] : start]

    def _after(self, end: int, line: int, lines: int, part: Sequence[str], room: int) -> str:
        if not lines:
            return self._most(room, part[0], from_end=False) if part else ""
        following = line + 1 + lines - len(part)
        return self.text[end : self._starts[following] if following < len(self._starts) else len(self.text)]

    def _most(self, room: int, text: str, *, from_end: bool) -> str:
        """The end or the beginning of a text that has about ``room`` tokens, never more.

        A token may be less than a character, so that characters are left out until it fits.
        """
        kept = room
        while kept > 0:
            part = text[-kept:] if from_end else text[:kept]
            tokens = self._count(part)
            if tokens <= room:
                return part
            kept = min(kept - 1, kept * room // tokens)
        return ""

    def _line(self, number: int) -> int:
        if number not in self._tokens:
            stop = self._starts[number + 1] if number + 1 < len(self._starts) else len(self.text)
            self._tokens[number] = self._count(self.text[self._starts[number] : stop])
        return self._tokens[number]


def _costs(count: Callable[[str], int], part: Sequence[str], lines: Iterator[int], room: int) -> list[int]:
    """The tokens of the gap's own line and of the lines behind it, as long as they fit, and of the next one."""
    costs = [count(text) for text in part]
    total = sum(costs)
    for tokens in lines:
        if total > room:
            break
        costs.append(tokens)
        total += tokens
    return costs


def _fitting(costs: Sequence[int], room: int) -> tuple[int, int]:
    """How many of the first lines fit, and their tokens."""
    used = 0
    for lines, tokens in enumerate(costs):
        if used + tokens > room:
            return lines, used
        used += tokens
    return len(costs), used
