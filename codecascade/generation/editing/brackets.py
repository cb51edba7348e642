"""Which brackets a completion may close: its own, and those before the cursor that nothing closes yet."""

from __future__ import annotations

from collections import Counter

from codecascade.corpus.code.syntax import OPENING, Scanner, Syntax
from codecascade.generation.editing.indentation import indent_of

_MOST = 1 << 16
"""Letters before and after the cursor in which brackets are looked for."""


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
        open_at_cursor: list[tuple[str, int]] = []
        for index, bracket in self.scanner.read(prefix):
            if bracket in OPENING:
                _close([opened for opened, _ in open_at_cursor], bracket, open_at_cursor)
            else:
                open_at_cursor.append((bracket, indent_of(prefix, prefix.rfind("\n", 0, index) + 1)))
        inner: list[str] = []
        claimed = False
        after = self.scanner.copy()
        for index, bracket in after.read(suffix):
            if bracket not in OPENING:
                inner.append(bracket)
            elif not _close(inner, bracket, inner):
                claimed |= _claim(open_at_cursor, suffix, index) and bracket != "}"
        self.in_claimed = claimed
        self._free = Counter(bracket for bracket, _ in open_at_cursor)
        self._own: list[str] = []
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
        return sum(bracket != "{" for bracket in self._own)

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
                self._own.append(bracket)
        if self.text_end:
            self.text_was_ended = self.scanner.text_end != self.text_end

    def _shut(self, bracket: str) -> None:
        opening = OPENING[bracket]
        if _close(self._own, bracket, self._own):
            return
        if self._free[opening] > 0:
            self._free[opening] -= 1
        else:
            self._debts[opening] += 1


def _close(names: list[str], bracket: str, stack: list[str] | list[tuple[str, int]]) -> bool:
    """Take the nearest bracket that ``bracket`` closes off the stack, with what was never closed behind it."""
    for at in range(len(names) - 1, -1, -1):
        if names[at] == OPENING[bracket]:
            del stack[at:]
            return True
    return False


def _claim(open_at_cursor: list[tuple[str, int]], suffix: str, index: int) -> bool:
    """Take off the bracket of the prefix that the one at ``index`` of the suffix closes; whether there is one."""
    start = suffix.rfind("\n", 0, index) + 1
    begins_line = start > 0 and not suffix[start:index].strip()
    indent = indent_of(suffix, start)
    opening = OPENING[suffix[index]]
    for at in range(len(open_at_cursor) - 1, -1, -1):
        bracket, opened_at = open_at_cursor[at]
        if bracket == opening and (not begins_line or opened_at == indent):
            del open_at_cursor[at]
            return True
    return False
