"""Which lines of a file are lines of code, by the comment rules of its language.

Not among them are blank lines; lines within a comment or a string of several lines; lines that are a comment or begin
with such a string (docstrings); lines without a letter or digit (lone brackets); and lines of nothing but a word that
opens, divides or closes a block (``else``, ``end``, ``fi``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from codecascade.corpus.code.syntax import Scanner, Syntax, syntax_of

_LOOKED_AT = 4096
_WORD = re.compile(r"[^\W_]")
_LONE_WORD = re.compile(
    r"(begin|do|done|else|end|endfor|endfunction|endif|endwhile|ensure|esac|fi|finally|then|try)"
)


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A line: its number from 0, and the characters from its first that is no white space to its last."""

    number: int
    start: int
    end: int


def code_lines(text: str, language: str) -> list[CodeLine]:
    """The lines of code of a text, whose lines end in ``\\n``."""
    syntax = syntax_of(language, text[:_LOOKED_AT])
    scanner = Scanner(syntax)
    found: list[CodeLine] = []
    offset = 0
    for number, line in enumerate(text.split("\n")):
        within = scanner.in_text
        for _ in scanner.read(line + "\n"):
            pass
        bare = line.strip()
        if not within and _is_code(bare, syntax):
            start = offset + len(line) - len(line.lstrip())
            found.append(CodeLine(number, start, start + len(bare)))
        offset += len(line) + 1
    return found


def _is_code(line: str, syntax: Syntax) -> bool:
    block = syntax.block_comment[:1] if syntax.block_comment else ()
    text_quotes = tuple(quotes for quotes in syntax.long_quotes if len(quotes) > 1)
    if line.startswith((*syntax.comments, *block, *text_quotes)):
        return False
    return bool(_WORD.search(line)) and not _LONE_WORD.fullmatch(line.strip(" \t{}()[];:"))
