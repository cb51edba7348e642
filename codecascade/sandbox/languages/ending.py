"""Inserts the line that proves that the tests were reached: at the end of the text, or of ``main``.

The model's code comes before the tests, so the position is searched for from the end of the text.
"""

from __future__ import annotations

import re

# Tokens that may contain braces without meaning: comments, strings of all types, characters.
_LEXEMES = re.compile(
    r"""
      //[^\n]*
    | /\*.*?\*/
    | R"(?P<delimiter>[^\s()\\]{0,16})\(.*?\)(?P=delimiter)"        # C++
    | r(?P<hashes>\#*)"[^"]*"(?P=hashes)                            # Rust
    | \"\"\"[ \t]*\n(?:\\.|.)*?\"\"\"                               # Java
    | @\$?"(?:""|[^"])*"                                            # C#
    | `[^`]*`                                                       # Go
    | "(?:\\.|[^"\\\n])*"
    | '(?:\\.[^'\n]*|[^\\'\n])'
    | (?P<brace>[{}])
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE = r"(?:\s|//[^\n]*|/\*.*?\*/)*+"
_LAST_RETURN = re.compile(rf"(?<=[;{{}}]){_SPACE}(?P<statement>return\b[^;{{}}]*;){_SPACE}\Z", re.DOTALL)


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
    for match in _LEXEMES.finditer(text, starts[-1]):
        brace = match["brace"]
        if brace == "{":
            depth += 1
            opened = opened or match.end()
        elif brace == "}":
            depth -= 1
            if depth <= 0:
                break
    else:
        return None
    if not opened:
        return None
    body, rest = text[opened : match.start()], text[match.start() :]
    # With the brace before it, so that a function with only a return matches, too.
    last = _LAST_RETURN.search("{" + body)
    if last is None:
        return f"{text[:opened]}{body}\n{line}\n{rest}"
    start = last.start("statement") - 1
    return f"{text[:opened]}{body[:start]}{line} {body[start:]}{rest}"
