"""A line of a completion as it is typed."""

from __future__ import annotations

from collections.abc import Sequence

from codecascade.generation.editing.indentation import TAB


def failures(pattern: str) -> list[int]:
    """Of each beginning of ``pattern``, the length of its longest proper end that ``pattern`` begins with
    (Knuth, Morris and Pratt 1977)."""
    table = [0] * len(pattern)
    length = 0
    for index in range(1, len(pattern)):
        while length and pattern[index] != pattern[length]:
            length = table[length - 1]
        length += pattern[index] == pattern[length]
        table[index] = length
    return table


class Line:
    """The letters of one line of the completion.

    Attributes:
        start: its offset in the completion.
        text: without white space.
        spaces: the spaces and tabs before its text.
        indent: the same in columns.
        ticks: backticks at its end.
        matched: how many letters at its end are the first of ``rest``.
    """

    def __init__(self, start: int, indent: int, rest: str, table: Sequence[int]) -> None:
        self.start, self.indent = start, indent
        self.text = ""
        self.spaces = self.ticks = self.matched = 0
        self._letters: list[str] = []
        self._offsets: list[int] = []  # of the letters of ``text``
        self._rest, self._table = rest, table

    @property
    def is_blank(self) -> bool:
        return not self.text

    @property
    def is_one_letter(self) -> bool:
        return len(self.text) == 1

    @property
    def raw(self) -> str:
        """All of it, with white space."""
        return "".join(self._letters)

    @property
    def text_end(self) -> int:
        """The offset behind its last letter that is no white space."""
        return self._offsets[-1] + 1 if self._offsets else self.start

    def add(self, letter: str, offset: int) -> None:
        """One more letter, but no line break."""
        self._letters.append(letter)
        if letter.isspace():
            self.ticks = 0
            if not self.text and letter in " \t":
                self.spaces += 1
                self.indent += TAB - self.indent % TAB if letter == "\t" else 1
            return
        self.text += letter
        self._offsets.append(offset)
        self.ticks = self.ticks + 1 if letter == "`" else 0
        if not self._rest:
            return
        while self.matched and (self.matched == len(self._rest) or self._rest[self.matched] != letter):
            self.matched = self._table[self.matched - 1]
        self.matched += self._rest[self.matched] == letter

    def letters_of(self, mark: str) -> int:
        """How many letters at the line's end are the first of ``mark``, but not all of it."""
        raw = "".join(self._letters[-len(mark) :]) if mark else ""
        return next((size for size in range(len(mark) - 1, 0, -1) if raw.endswith(mark[:size])), 0)

    def offset_of_last(self, letters: int) -> int:
        """Where the last so many letters of ``text`` begin."""
        return self._offsets[-letters]

    def space_before_last(self, letters: int) -> int:
        """The same, with the white space before them."""
        if letters == len(self.text):
            return self.start
        return self._offsets[-letters - 1] + 1

    def joins_words(self, letters: int) -> bool:
        """Whether the last so many letters of ``text`` begin within a word."""
        at = self.offset_of_last(letters) - self.start
        return at > 0 and _is_word(self._letters[at - 1]) and _is_word(self._letters[at])


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"
