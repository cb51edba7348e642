"""Which brackets a completion may close: its own, and those before the cursor that nothing closes yet."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from codecascade.corpus.code.syntax import OPENING, Scanner, Syntax
from codecascade.generation.editing.indentation import indent_of

_MOST = 1 << 16
"""Letters before and after the cursor in which brackets are looked for."""
_DEEPEST = 100
"""Open brackets, of which the outer ones are forgotten: no code has more, and each closing one looks through them."""


class _Opened(NamedTuple):
    """A bracket that is open, and the columns before the first letter of its line, where these count."""

    bracket: str
    indent: int = 0


class _Lines:
    """The lines of a text at places that only go on: each is looked at once, however many brackets it has."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._start, self._end = 0, -1
        self._indent = self._first = 0

    def indent(self, index: int) -> int:
        """Columns before the first letter of the line of a place."""
        self._go_to(index)
        return self._indent

    def begins(self, index: int) -> bool:
        """Whether nothing but white space is before a place in its line, which is not the first line."""
        self._go_to(index)
        return self._start > 0 and index <= self._first

    def _go_to(self, index: int) -> None:
        if index <= self._end:
            return
        self._start = self._text.rfind("\n", max(self._end, 0), index) + 1 or self._start
        self._end = self._text.find("\n", index)
        if self._end < 0:
            self._end = len(self._text)
        self._indent = indent_of(self._text, self._start)
        self._first = self._start
        while self._first < index and self._text[self._first].isspace():
            self._first += 1


class BracketBudget:
    """Follows the brackets of a completion.

    The brackets that are open at the cursor are those of the prefix; the suffix closes some of them. A suffix's
    bracket that begins its line closes the one whose line is indented alike (so that it does no harm if the outer
    ones are not in the prefix), any other one the nearest.

    A string or comment of several lines that the cursor is in is like a bracket: it is the suffix that ends it.

    Attributes:
        text_end: what ends that string or comment; "" if the cursor is in none.
        text_was_ended: the completion ended it, and has begun no other one like it since.
        in_claimed: a round or square bracket is open at the cursor that the suffix closes.
    """

    def __init__(self, prefix: str, suffix: str, syntax: Syntax) -> None:
        prefix, suffix = prefix[-_MOST:], suffix[:_MOST]
        self.scanner = Scanner(syntax)
        open_at_cursor: list[_Opened] = []
        lines = _Lines(prefix)
        for index, bracket in self.scanner.read(prefix):
            if bracket in OPENING:
                _close(open_at_cursor, bracket)
            else:
                _open(open_at_cursor, _Opened(bracket, lines.indent(index)))
        inner: list[_Opened] = []
        claimed = False
        after, lines = self.scanner.copy(), _Lines(suffix)
        for index, bracket in after.read(suffix):
            if bracket not in OPENING:
                _open(inner, _Opened(bracket))
            elif not _close(inner, bracket):
                claimed |= _claim(open_at_cursor, bracket, lines, index) and bracket != "}"
        self.in_claimed = claimed
        self._free = Counter(opened.bracket for opened in open_at_cursor)
        self._own: list[_Opened] = []
        self._debts: Counter[str] = Counter()
        # Where the suffix ends within such a text, too, the prefix may begin in the middle of one.
        self.text_end = "" if after.in_text else self.scanner.text_end
        self.text_was_ended = False

    @property
    def in_code(self) -> bool:
        """Whether the next letter is neither in a comment nor in a string."""
        return self.scanner.in_code

    @property
    def in_text(self) -> bool:
        """Whether the next letter is in a comment or string that goes on from line to line."""
        return self.scanner.in_text

    @property
    def depth(self) -> int:
        """How many round and square brackets the completion opened and has not closed."""
        return sum(opened.bracket != "{" for opened in self._own)

    @property
    def is_open(self) -> bool:
        """Whether the completion has opened a bracket that it has not closed, or is in a long text."""
        return bool(self._own) or self.in_text

    @property
    def is_within(self) -> bool:
        """Whether a round or square bracket of the prefix is open, or anything that the completion opened."""
        return self.is_open or self.in_claimed or any(self._free[bracket] > 0 for bracket in "([")

    @property
    def is_overdrawn(self) -> bool:
        """Whether a bracket was closed that is not the completion's to close, and none of its kind opened since."""
        return self._debts.total() > 0 or self.text_was_ended

    def push(self, letter: str) -> None:
        """Read one more letter."""
        for _, bracket in self.scanner.read(letter):
            if bracket in OPENING:
                self._shut(bracket)
            elif self._debts[bracket] > 0:
                # ``) + f(`` and ``} else {`` leave it to the suffix to close the new one.
                self._debts[bracket] -= 1
            else:
                _open(self._own, _Opened(bracket))
        if self.text_end:
            self.text_was_ended = self.scanner.text_end != self.text_end

    def _shut(self, bracket: str) -> None:
        opening = OPENING[bracket]
        if _close(self._own, bracket):
            return
        if self._free[opening] > 0:
            self._free[opening] -= 1
        else:
            self._debts[opening] += 1


def _open(stack: list[_Opened], opened: _Opened) -> None:
    stack.append(opened)
    if len(stack) > _DEEPEST:
        del stack[0]


def _close(stack: list[_Opened], bracket: str) -> bool:
    """Take the nearest bracket that ``bracket`` closes off the stack, with what was never closed behind it."""
    for at in range(len(stack) - 1, -1, -1):
        if stack[at].bracket == OPENING[bracket]:
            del stack[at:]
            return True
    return False


def _claim(open_at_cursor: list[_Opened], bracket: str, lines: _Lines, index: int) -> bool:
    """Take off the bracket of the prefix that the one at ``index`` of the suffix closes; whether there is one."""
    begins_line, indent = lines.begins(index), lines.indent(index)
    for at in range(len(open_at_cursor) - 1, -1, -1):
        opened = open_at_cursor[at]
        if opened.bracket == OPENING[bracket] and (not begins_line or opened.indent == indent):
            del open_at_cursor[at]
            return True
    return False
