"""Finds brackets and commas in JavaScript, past strings and comments."""

from __future__ import annotations

import re

_LEXEME = re.compile(
    r"""
      //[^\n]*
    | /\*.*?\*/
    | "(?:\\.|[^"\\\n])*"
    | '(?:\\.|[^'\\\n])*'
    | `(?:\\.|[^`\\])*`
    | (?<=[(,=:\[!&|?])\s*/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<comma>,)
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSES = {"(": ")", "[": "]", "{": "}"}


def end_of_brackets(text: str, start: int) -> int | None:
    """The position behind the bracket that closes the one at ``start``; None if none does."""
    opened: list[str] = []
    for lexeme in _LEXEME.finditer(text, start):
        if lexeme["open"]:
            opened.append(lexeme["open"])
        elif lexeme["close"]:
            if not opened or _CLOSES[opened.pop()] != lexeme["close"]:
                return None
            if not opened:
                return lexeme.end()
    return None


def arguments_of(brackets: str) -> list[str]:
    """The arguments in a pair of brackets: ``(f(1, 2), "a,b")`` has two."""
    depth, start = 0, 1
    found: list[str] = []
    for lexeme in _LEXEME.finditer(brackets):
        depth += bool(lexeme["open"]) - bool(lexeme["close"])
        if (lexeme["comma"] and depth == 1) or (lexeme["close"] and depth == 0):
            if argument := brackets[start : lexeme.start()].strip():
                found.append(argument)
            start = lexeme.end()
        if depth == 0:
            break
    return found


def plain_part(text: str) -> str:
    """The text without what is inside of strings and comments."""

    def emptied(lexeme: re.Match[str]) -> str:
        return lexeme[0] if lexeme["open"] or lexeme["close"] or lexeme["comma"] else " '' "

    return _LEXEME.sub(emptied, text)
