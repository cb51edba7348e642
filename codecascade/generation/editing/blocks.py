"""The end of the block that the cursor is in: by indentation, by blank lines, by what begins a definition."""

from __future__ import annotations

import math
import re
from typing import Literal

from codecascade.corpus.code.syntax import OPENING, Syntax
from codecascade.generation.editing.indentation import indent_of
from codecascade.generation.editing.top_level import TopLevel

Verdict = Literal["goes on", "ends", "depends on the word"]

_CONTINUES = frozenset(
    re.findall(
        r"\w+",
        "else elif elsif elseif except finally catch rescue ensure when case default end endif endfor endwhile fi "
        "done esac then do until while",
    )
)
"""Words that may begin a line of a block which is indented like the line that began the block."""
_DEFINES = re.compile(
    r"""\s*(
        @\w | \#\[ |
        ((export|default|public|private|protected|internal|static|final|abstract|async|pub(\([^)]*\))?|override|virtual
          |inline|extern|open|sealed|data|unsafe|const\ fn|local)\s+)*
        (def|class|func|fun|fn|function|interface|struct|enum|trait|impl|module|namespace|record|object|type|protocol
          |extension|defp|defmodule|macro|sub|procedure|template|public|private|protected|override)\b
        | if\s+__name__\b
    )""",
    re.VERBOSE,
)
_METHOD = re.compile(r"\s*[\w$#*~&<>:\[\], ]*[\w$\]>]\s*\([^;]*\)[^;=]*\{\s*$")
"""``name(arguments) {``, with a type before it or without."""
_LONGEST_HEAD = 1000
"""Characters of a line that may be the head of a definition; in a longer one the pattern would be looked for again
from each of its characters."""
_CONTROL = re.compile(
    r"\s*(\}\s*)?(if|else|for|foreach|while|do|switch|try|catch|with|using|lock|return|match|select|unless|until)\b"
)
_COMMENT = re.compile(r"\s*(#|//|/\*|\*|--|;|%|\"\"\")")
_MOST_BLANK = 3
"""Blank lines together; more than these end any text but prose."""


class Block:
    """Follows the lines of a completion, the cursor's own first.

    Args:
        top_level: what ends a completion where no line is indented less.
        within: the lines right before and after the cursor's are not blank.

    A completion behind some text (``for x in y:``) ends with the block that the text begins. One on an empty line
    ends where a line is indented less than the first. At the top level that never comes, so there a blank line ends
    a definition or what is in the middle of a paragraph, and two end whatever it is; see :class:`TopLevel`, too.
    """

    def __init__(
        self, cursor_line: str, syntax: Syntax, top_level: TopLevel, *, within: bool = False
    ) -> None:
        self._syntax, self._top_level = syntax, top_level
        self._within = within
        self._cursor_line = cursor_line
        self._behind_text = bool(cursor_line.strip())
        # Of the first line; None where the cursor does not tell.
        self._base: int | None = indent_of(cursor_line) if cursor_line else None
        # Whether the cursor's line begins a block; None until the next line tells.
        self._opened: bool | None = None if self._behind_text else False
        self._defines: bool | None = None
        self._deeper = False
        # Whether the statement that the cursor is in is complete, as long as no other line came; whether it is not.
        self._is_statement = self._is_unfinished = False

    @property
    def most_blank_lines(self) -> float:
        """How many blank lines may come together."""
        return _MOST_BLANK if self._syntax.indents else math.inf

    def is_torn_by_more_lines(self, rest: str) -> bool:
        """Whether the cursor is between two parts of its line. What editors close by themselves (``{|})``) is none.

        Args:
            rest: what the line has behind the cursor.
        """
        return self._behind_text and any(map(str.isalnum, rest))

    def first_line(self, text: str, *, is_open: bool) -> None:
        """The completion's part of the cursor's line, which is not blank.

        Args:
            is_open: a bracket or a text of several lines is open at its end.
        """
        line = self._cursor_line + text
        if not self._behind_text:
            self._base = indent_of(line)
        self._defines = defines(line)
        self._top_level.see(line)
        if self._behind_text:
            self._is_statement = self._top_level.is_statement(line, is_open=is_open)
            self._is_unfinished = not self._is_statement and self._top_level.may_be_finished(line)

    def see(self, line: str, *, is_open: bool) -> None:
        """Another line, which goes on in any case. ``is_open`` is as in :meth:`first_line`."""
        if self._is_unfinished and not indent_of(line):
            self._is_statement = self._top_level.is_statement(line, is_open=is_open)
            self._is_unfinished = not self._is_statement
        if self._defines is None:
            self._defines = defines(line)

    def begins(self, indent: int, letter: str, bracket_depth: int) -> Verdict:
        """What a further line says by its indentation and its first letter.

        Args:
            indent: in columns.
            bracket_depth: round and square brackets that the completion opened and has not closed.
        """
        if not self._syntax.indents:
            return "goes on"
        if self._base is None:
            self._base = indent
            return "goes on"
        if self._opened is None:
            self._opened = indent > self._base
        self._deeper |= indent > self._base
        is_statement, self._is_statement = self._is_statement, False
        if is_statement and not indent and not self._opened and not TopLevel.goes_on(letter):
            return "goes on" if letter in OPENING else "depends on the word"
        if indent >= self._base + self._opened or bracket_depth:
            return "goes on"
        # Which closing brackets may come is the brackets' own business.
        if letter in OPENING or (letter == "#" and self._syntax.preprocessor):
            return "goes on"
        return "depends on the word" if self._opened and indent == self._base else "ends"

    def continues_with(self, word: str) -> bool:
        """Whether a line that is indented like the one that began the block belongs to it by its first word."""
        return word in _CONTINUES

    def may_be_too_much(self, indent: int, bracket_depth: int) -> bool:
        """Whether a further line is one of a run at the top level, of which there may be too many."""
        return not (self._base or indent or bracket_depth or self._opened) and self._syntax.indents

    def is_too_much(self, line: str) -> bool:
        """Whether the completion ends before such a line."""
        return self._top_level.is_too_much(line)

    def may_be_over(self, indent: int, blank_lines: int) -> bool:
        """Whether what a line is decides if the completion ends before it; behind blank lines it may."""
        if not blank_lines or self._opened or not self._syntax.indents or self._base is None:
            return False
        return indent <= self._base

    def is_over(self, line: str, blank_lines: int) -> bool:
        """Whether a line that decides (:meth:`may_be_over`) belongs to something new."""
        complete = self._defines and self._deeper
        if self._base:
            return bool(complete and defines(line))
        return bool(complete or blank_lines > 1 or self._within or defines(line))


def defines(line: str) -> bool:
    """Whether a line begins a function, a class or the like, by its look."""
    if _CONTROL.match(line) and not line.lstrip().startswith("if __name__"):
        return False
    return bool(_DEFINES.match(line) or (len(line) <= _LONGEST_HEAD and _METHOD.match(line)))


def is_comment(line: str) -> bool:
    """Whether a line is a comment, by its look."""
    return _COMMENT.match(line) is not None and not line.lstrip().startswith("#[")
