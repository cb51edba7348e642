"""Inserts the line that proves that the tests were reached: at the end of the text, or of ``main``.

The model's code comes before the tests, so the position is searched for from the end of the text.
"""

from __future__ import annotations

import re

# Tokens that may contain braces without meaning: comments, strings of all types, characters. The end of none is
# searched for again and again: a comment without an end reaches to the end of the text, and a backslash between
# tokens goes with the character after it, which so begins no string.
_LEXEMES = re.compile(
    r"""
      (?P<comment> //[^\n]* | /\*.*?(?:\*/|\Z) )
    | R"(?P<delimiter>[^\s()\\]{0,16})\((?:.*?\)(?P=delimiter)"|.*)   # C++
    | r(?P<hashes>\#*)"[^"]*"(?P=hashes)                            # Rust
    | \"\"\"[ \t]*\n(?:\\.|[^\\])*?\"\"\"                           # Java
    | @\$?"(?:""|[^"])*"                                            # C#
    | `[^`]*`                                                       # Go
    | "(?:\\.|[^"\\\n])*"
    | '(?:\\.[^'\n]*|[^\\'\n])'
    | \\.
    | (?P<brace>[{}])
    """,
    re.VERBOSE | re.DOTALL,
)
_LAST_RETURN = re.compile(r"(?<=[;{}])\s*(?P<statement>return\b[^;{}]*;)\s*\Z")


def halves(token: str) -> tuple[str, str]:
    """A token in two halves, so that a program that prints its own source does not print the token."""
    return token[: len(token) // 2], token[len(token) // 2 :]


def at_end(text: str, line: str) -> str:
    """``line`` after the last line."""
    return f"{text}\n{line}\n"


def in_main(text: str, header: str, line: str) -> str | None:
    """``line`` as the last statement of the last function whose head matches ``header``; None if there is none.

    A ``return`` at the end of the function comes after the line.
    """
    starts = [match.end() for match in re.finditer(header, text)]
    if not starts:
        return None
    depth, opened = 0, 0
    # The function without comments and strings, each character in its place.
    bare, end = [], 0
    for match in _LEXEMES.finditer(text, starts[-1]):
        brace = match["brace"]
        if brace == "{":
            depth += 1
            if not opened:
                opened = end = match.end()
                # Before a function with only a return there is a brace, too.
                bare.append("{")
        elif brace == "}":
            depth -= 1
            if depth <= 0:
                break
        elif opened:
            bare += (text[end : match.start()], (" " if match["comment"] else "x") * len(match[0]))
            end = match.end()
    else:
        return None
    if not opened:
        return None
    bare.append(text[end : match.start()])
    body, rest = text[opened : match.start()], text[match.start() :]
    last = _LAST_RETURN.search("".join(bare))
    if last is None:
        return f"{text[:opened]}{body}\n{line}\n{rest}"
    start = last.start("statement") - 1
    return f"{text[:opened]}{body[:start]}{line} {body[start:]}{rest}"
