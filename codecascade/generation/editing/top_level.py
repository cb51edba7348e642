"""Where a completion at the top level ends: there no line is indented less than the cursor's."""

from __future__ import annotations

import re

from codecascade.corpus.code.syntax import Syntax
from codecascade.generation.editing.imports import Imports

_MOST_ALIKE = 5
"""Lines in a row that begin with the same word."""
_GOES_ON = re.compile(
    r"([,\\(\[{:=|&+*/<.?-]|\b(and|or|not|in|is|then|do|else|begin|of|where|let|export|return))\s*$",
    re.IGNORECASE,
)
"""The end of a line whose statement goes on in the next one."""
_BEFORE = re.compile(
    r"\s*(@|#\[|\[\w|#\s*(if|el|en)|template\b|export\s*$|public\s*:|private\s*:|protected\s*:)"
)
"""The beginning of a line that belongs to what follows it."""
_CONTINUES = "{.|&+?:-=,<>*/"
"""Letters with which no statement begins. A list of YAML begins with ``-``."""
_FIRST_WORD = re.compile(r"\W*(\w+)")


class TopLevel:
    """Follows the lines of a completion whose first line is not indented.

    A statement that the cursor is in ends the completion with its line, unless it opens something or goes on. Behind
    an empty line more may come, but no import of what the file does not use, and of lines that begin with the same
    word only so many: a model that began to import goes on doing so.
    """

    def __init__(self, prefix: str, suffix: str, syntax: Syntax) -> None:
        self._syntax = syntax
        self._imports = Imports(prefix, suffix)
        self._word, self._alike = "", 0

    def is_statement(self, line: str, *, is_open: bool) -> bool:
        """Whether the cursor's line, as it was completed, is a statement that nothing more belongs to.

        Args:
            is_open: a bracket or a text of several lines is open at its end.
        """
        syntax, text = self._syntax, line.strip()
        if is_open or not text or text.startswith(self._comments) or _BEFORE.match(text):
            return False
        directive = syntax.preprocessor and text.startswith("#")
        if syntax.statement_end and not directive and not text.endswith((syntax.statement_end, "}")):
            return False
        return (directive and not text.endswith("\\")) or not _GOES_ON.search(text)

    def may_be_finished(self, line: str) -> bool:
        """Whether a line that is no statement yet begins one whose end is written, whatever lines it has."""
        text = line.strip()
        return bool(
            self._syntax.statement_end and not text.startswith(self._comments) and not _BEFORE.match(text)
        )

    @staticmethod
    def goes_on(letter: str) -> bool:
        """Whether a line that is not indented belongs to the statement before it, by its first letter."""
        return letter in _CONTINUES

    def see(self, line: str) -> None:
        """The first line, as it was completed."""
        self._word, self._alike = _first_word(line), 1

    def is_too_much(self, line: str) -> bool:
        """Whether the completion ends before another line that is not indented."""
        word = _first_word(line)
        self._alike = self._alike + 1 if word and word == self._word else 1
        self._word = word
        return self._alike > _MOST_ALIKE or self._imports.are_unused(line)

    @property
    def _comments(self) -> tuple[str, ...]:
        block = self._syntax.block_comment
        return (*self._syntax.comments, *(block[:1] if block else ()), '"""', "'''", "*")


def _first_word(line: str) -> str:
    found = _FIRST_WORD.match(line)
    return found[1] if found else ""
