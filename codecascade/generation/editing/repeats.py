"""Where a completion begins to repeat what stands after the cursor.

Lines are compared without white space. A line alone proves little: code has the same line twice. So a repetition is
two different lines in a row that say something (``)`` does not, and a comment says little), or whatever it
ends with. A line that says nothing counts only where it is indented as in the suffix. Lines from the middle of the
suffix prove a repetition only if they are many: code resembles itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from codecascade.generation.editing.indentation import indent_of
from codecascade.generation.editing.line import Line, failures

_LINES = 2
"""Different lines that say something and prove a repetition while the completion goes on."""
_MOST_LINES = 400
"""Lines of the suffix that are looked at."""
_MOST_LETTERS = 4096
"""Letters of the cursor's line behind the cursor that are looked at."""
_LETTERS = 4
"""Letters and digits of a line that says something, at least."""
_FAR_LINES = 20
"""Lines that prove a repetition from the middle of the suffix."""
_JOINED_LETTERS = 8
"""Letters and digits by which the end of a word is recognised, where the cursor is within it."""
_CLOSING_WORDS = frozenset(("end", "fi", "done", "esac"))
_COMMENTS = ("#", "//", "*", "/*", "--", "@", '"""', "'''")


@dataclass
class Run:
    """Lines of the completion that are the suffix's, in a row.

    Attributes:
        cut: the length of the completion without them.
        is_from_start: the first of them is the suffix's first line, or the first that says something.
        following: the index of the suffix's line that would come next.
        exact: each is indented as in the suffix.
        lines: the different ones.
        is_joined: the first of them begins within a word, so that a completion may end like that by chance.
    """

    cut: int
    is_from_start: bool
    following: int
    exact: bool = True
    lines: set[str] = field(default_factory=set)
    is_joined: bool = False

    def extended(self, line: str, exact: bool) -> Run:
        """The run with one more line."""
        lines = {*self.lines, line}
        exact &= self.exact
        return Run(self.cut, self.is_from_start, self.following + 1, exact, lines, self.is_joined)

    @property
    def is_proved(self) -> bool:
        """Whether it is a repetition whatever comes next."""
        strong = sum(map(says_something, self.lines))
        if self.is_from_start:
            return strong >= _LINES or (self.exact and strong > 0 and len(self.lines) > _LINES)
        return self.exact and strong >= _FAR_LINES

    @property
    def is_proved_at_the_end(self) -> bool:
        """Whether it is one where nothing comes after it."""
        if self.is_proved:
            return True
        if not self.is_from_start:
            return False
        if len(self.lines) > 1:
            return self.exact or any(map(says_something, self.lines))
        return (
            self.exact
            and not self.is_joined
            and any(_closes(line) or (has_letters(line, 3) and not line.endswith(",")) for line in self.lines)
        )


class Suffix:
    """The lines after the cursor, and the runs of them at the end of a completion.

    Args:
        at_line_start: nothing is before the cursor in its line, so that text after it is a line of its own.

    Attributes:
        rest: what the suffix's first line has, without white space; ``exact_rest`` with it.
        breaks: how many line breaks it begins with.
        blank_lines: how many blank lines come before the first other line.
        runs: those that the last line belongs to.
    """

    def __init__(self, suffix: str, *, at_line_start: bool = False) -> None:
        first, _, below = suffix.partition("\n")
        first = first[:_MOST_LETTERS]
        self.is_blank = not suffix.strip()
        self.breaks = suffix[: len(suffix) - len(suffix.lstrip())].count("\n")
        self.at_line_start = at_line_start and bool(first.strip())
        self.exact_rest, self.rest = first, without_space(first)
        if self.at_line_start:
            below = suffix
        self.rest_table = failures(self.rest)
        lines = below.split("\n", _MOST_LINES)[:_MOST_LINES]
        full = [(without_space(line), indent_of(line)) for line in lines]
        self.blank_lines = next((index for index, (line, _) in enumerate(full) if line), len(full))
        self._lines = [(line, indent) for line, indent in full if line]
        self._indices: dict[str, list[int]] = defaultdict(list)
        for index, (line, _) in enumerate(self._lines):
            self._indices[line].append(index)
        self._sorted = sorted(self._indices)
        self._starts: set[int] = set()
        # Where the cursor's line has something behind the cursor, that is the first.
        if self.at_line_start or not self.rest:
            strong = [index for index, (line, _) in enumerate(self._lines) if says_something(line)]
            self._starts = {0, *strong[:1]}
        self.runs: list[Run] = []

    @property
    def first(self) -> str:
        """The first line of its own that is not blank, without white space; "" if there is none."""
        return self._lines[0][0] if self._lines and self._starts else ""

    def may_begin(self, line: str) -> bool:
        """Whether a line of the suffix begins so; without white space."""
        at = bisect_left(self._sorted, line)
        return at < len(self._sorted) and self._sorted[at].startswith(line)

    def push(self, line: str, indent: int, cut: int, far_cut: int) -> Run | None:
        """One more line of the completion, not a blank one; the repetition that is proved by it.

        Args:
            line: without white space.
            cut: the length of the completion without it, if the suffix begins here.
            far_cut: the same, if a later line of the suffix does.
        """
        begun = [
            Run(far_cut if index or 0 not in self._starts else cut, index in self._starts, index)
            for index in self._indices.get(line, ())
        ]
        runs = []
        for run in (*self.runs, *begun):
            if self._has_next(run):
                known, known_indent = self._lines[run.following]
                if known == line and (indent == known_indent or has_letters(line) or line.startswith("</")):
                    runs.append(run.extended(line, indent == known_indent))
        self.runs = runs
        return _earliest(run for run in runs if run.is_proved)

    def is_closed_by(self, line: str) -> bool:
        """Whether a line begins to close a tag that it did not open, where the cursor is before a closing tag."""
        if not line.endswith("</") or not self.rest.startswith("</"):
            return False
        closed = line.count("</")
        return closed > line.count("<") - closed - line.count("/>")

    def ends(self, line: Line) -> bool:
        """Whether a line of the completion ends as the cursor's does."""
        if self.at_line_start and line.text == self.rest:
            # it is a line of its own
            return False
        return bool(self.rest) and line.matched == len(self.rest)

    def rest_cut(self, line: Line) -> int:
        """The length of the completion without what such a line ends in."""
        if line.raw.endswith(self.exact_rest):
            return line.start + len(line.raw) - len(self.exact_rest)
        return line.offset_of_last(len(self.rest))

    def push_rest(self, cut: int, *, joins_words: bool) -> None:
        """The line that ends now has ended in :attr:`rest`, which begins at ``cut``.

        Args:
            joins_words: the cursor is within a word, so that the completion may end like that by chance.
        """
        is_joined = joins_words and sum(map(str.isalnum, self.rest)) < _JOINED_LETTERS
        # A line of its own is the first of the lines, too.
        run = Run(cut, True, int(self.at_line_start) - 1, is_joined=is_joined)
        self.runs.append(run.extended(self.rest, exact=True))

    @property
    def needs_more(self) -> bool:
        """Whether only the next line tells if the last one has ended in the suffix or by chance."""
        return bool(self.runs) and self.at_the_end() is None

    def goes_on_with(self, line: str) -> bool:
        """Whether a line that is read up to here is the suffix's next one, as far as that can be seen."""
        if says_something(line) and self.first.startswith(line):
            return True
        return any(self._lines[run.following][0].startswith(line) for run in self.runs if self._has_next(run))

    def depends_on(self, line: str) -> bool:
        """Whether another line that begins so may prove a repetition of the lines before it."""
        return any(
            self._has_next(run) and self._lines[run.following][0].startswith(line)
            for run in self.runs
            if run.is_from_start and not run.is_proved_at_the_end
        )

    def _has_next(self, run: Run) -> bool:
        return run.following < len(self._lines)

    def at_the_end(self, line: str = "", *, whole: bool = False) -> Run | None:
        """The earliest repetition, if the completion ends here.

        Args:
            line: what was read of the line after the runs, without white space.
            whole: it is part of the completion, not what ends it.
        """
        found = []
        for run in self.runs:
            if line and self._has_next(run) and self._lines[run.following][0].startswith(line):
                found.append(run.extended(line, exact=True))
            elif not (line and whole):
                found.append(run)
        return _earliest(run for run in found if run.is_proved_at_the_end)


def _earliest(runs: Iterable[Run]) -> Run | None:
    """The run to cut, those from the suffix's start before all others."""
    return min(runs, key=lambda run: (not run.is_from_start, run.cut), default=None)


def without_space(text: str) -> str:
    """A line as it is compared."""
    return "".join(text.split())


def has_letters(line: str, letters: int = _LETTERS) -> bool:
    """Whether a line is more than brackets and short words."""
    return sum(map(str.isalnum, line)) >= letters


def says_something(line: str) -> bool:
    """Whether a line is one that code hardly has twice in a row: no comment, no decorator either."""
    return has_letters(line) and not line.startswith(_COMMENTS)


def _closes(line: str) -> bool:
    """Whether a line closes something, so that the same line again would close nothing."""
    if line in _CLOSING_WORDS:
        return True
    return not any(map(str.isalnum, line)) and line[-1] not in "([{" and (line[-1] != "," or line[0] in ")]}")
