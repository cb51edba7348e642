"""Turns IPython syntax in notebook cells into comments: magics, shell commands and help requests.

The rules are IPython's own (``IPython/core/inputtransformer2.py``, version 9): a magic is one only at the beginning
of a logical line, or after its first ``=``. A line that continues an expression, or that is part of a string, is
none. Everything else is left unchanged. So a cell that IPython can parse becomes valid Python; the only exception
is ``await`` outside of a function.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PYTHON_CELLS = frozenset(
    {"time", "timeit", "capture", "prun", "memit", "mprun", "snakeviz", "scalene", "heat", "wandb", "local"}
)
"""Cell magics after which the cell is still Python of the notebook's own namespace."""
_MOST_NESTED = 10
"""Most cell magics on top of each other; further ones are treated as line magics."""

_CELL_MAGIC = re.compile(r"%%(?!\w+\?)(\S*)")
_ESCAPED = re.compile(r"[ \t\f]*(?:!(?!=)|%(?!=)|[?,;]|/(?![/=]))")
_HELP = re.compile(r"(?<![\w*])\d*+(?:[^\W\d]|\*)[\w*]*+(?:\[-?[0-9]++\])*+\?{1,2}$")
"""IPython's rule for ``a.b[0]?``, applied to the last name only: matching whole chains takes too long."""
_ASSIGNED = re.compile(r"[ \t\f\\\n]*(?:(!)|%[ \t\f]*[^\W\d])")
_COMPOUND = re.compile(r"[ \t\f]*(?:if|elif|else|for|while|with|try|except|finally|def|class|async)\b")
_PROMPTS = (
    (re.compile(r">>>(?: |$)"), re.compile(r"(?:>>>|\.\.\.)(?: |$)")),
    (re.compile(r"In \[\d+\]: "), re.compile(r"In \[\d+\]: |\s*\.{3,}: ?")),
)
"""How a pasted interactive session begins, and the prompts at the beginning of its lines."""

_PIECE = re.compile(
    r"(?P<comment>#.*)|(?P<quote>'''|\"\"\"|'|\")|(?P<open>[(\[{])|(?P<close>[)\]}])"
    r"|(?P<other>[=!<>+\-*/%&|^@:]=+)|(?P<equals>=)|(?P<colon>:)|(?P<space>\s+)|[^\s#'\"()\[\]{}=!<>+\-*/%&|^@:]+|."
)
_ENDS = {
    "'": re.compile(r"(?:[^'\\]|\\.)*"),
    '"': re.compile(r'(?:[^"\\]|\\.)*'),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*"),
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*'),
}


def without_magics(cell: str) -> str:
    """A Python cell with IPython syntax turned into comments.

    >>> print(without_magics("files = !ls\\nmath.sqrt?\\nif files:\\n    %time f()\\nprint('%s'\\n      % x)"))
    # files = !ls
    # math.sqrt?
    if files:
        pass  # %time f()
    print('%s'
          % x)
    """
    lines = _as_ipython_sees(cell.split("\n"))
    out: list[str] = []
    while lines and (magic := _CELL_MAGIC.match(lines[0])) and len(out) < _MOST_NESTED:
        if magic[1] not in PYTHON_CELLS:
            return "\n".join([*out, *map(_comment, lines)])
        out.append(_comment(lines[0]))
        lines = _as_ipython_sees(lines[1:])
    row = 0
    while row < len(lines):
        if _ESCAPED.match(lines[row]):
            end = _continued(lines, row)
            out += _commented(lines[row:end])
        else:
            statement = _statement(lines, row)
            end = statement.end
            text = "\n".join(lines[row:end])
            if statement.is_help:
                out += _commented(lines[row:end])
            elif statement.equals is not None and _assigns_magic(text, statement.equals):
                # The text after a magic may be anything: quotes and brackets have no meaning there.
                end = _continued(lines, row + text.count("\n", 0, statement.assigned))
                out += _commented(lines[row:end], statement.colon)
            else:
                out += lines[row:end]
        row = end
    return "\n".join(out)


def _as_ipython_sees(cell: list[str]) -> list[str]:
    """The lines as IPython sees them: without leading empty lines, the first line's indentation and session
    prompts.
    """
    begin = next((row for row, line in enumerate(cell) if line.strip()), 0)
    lines = _dedented(cell[begin:])
    for initial, prompt in _PROMPTS:
        if lines and initial.match(lines[0]):
            lines = _dedented([prompt.sub("", line, count=1) for line in lines])
    return lines


def _dedented(lines: list[str]) -> list[str]:
    """The lines without the first one's indentation, which a line that does not begin with it keeps."""
    space = lines[0][: len(lines[0]) - len(lines[0].lstrip(" \t"))] if lines else ""
    return [line.removeprefix(space) for line in lines] if space else lines


class _Statement(NamedTuple):
    """A logical line of a cell. Positions are character offsets in its text."""

    end: int
    """The number of the physical line after it."""
    equals: int | None
    """The position after the first ``=`` outside of brackets."""
    assigned: int
    """The position of the value that is assigned."""
    colon: int | None
    """For a compound statement on one line: the position after its last colon before that ``=``."""
    is_help: bool
    """Whether it is a help request: ``name?``."""


def _statement(lines: list[str], start: int) -> _Statement:
    row, column, offset, depth = start, 0, 0, 0
    equals: int | None = None
    colon: int | None = None
    compound = bool(_COMPOUND.match(lines[start]))
    last = ""
    while row < len(lines):
        line = lines[row].removesuffix("\r")
        while column < len(line):
            piece = _PIECE.match(line, column)
            assert piece is not None, "matches any character"
            column = piece.end()
            kind = piece.lastgroup
            if kind == "quote":
                row, column, offset = _behind_string(lines, row, column, offset, piece[0])
                line = lines[row].removesuffix("\r") if row < len(lines) else ""
            elif kind == "open":
                depth += 1
            elif kind == "close":
                depth = max(depth - 1, 0)
            elif kind == "equals" and not depth and equals is None:
                equals = offset + column
            elif kind == "colon" and not depth and equals is None and compound:
                colon = offset + column
            last = last if kind == "space" else "#" if kind == "comment" else piece[0]
        offset += len(lines[row]) + 1 if row < len(lines) else 0
        row, column = row + 1, 0
        # A backslash at the end of a comment does not continue the line.
        if not depth and (last == "#" or not line.endswith("\\")):
            break
    row = min(row, len(lines))
    text = "\n".join(lines[start:row])
    assigned = (
        len(text) if equals is None else equals + len(text[equals:]) - len(text[equals:].lstrip(" \t\f\\\n"))
    )
    is_help = last.endswith("?") and bool(_HELP.search(text.rstrip()))
    return _Statement(row, equals, assigned, colon, is_help)


def _behind_string(lines: list[str], row: int, column: int, offset: int, quote: str) -> tuple[int, int, int]:
    """Row, column and row offset after the end of a string, or after a quote character that begins no string."""
    begin = row, column, offset
    while row < len(lines):
        line = lines[row]
        # The pattern also matches an empty string.
        column = _ENDS[quote].match(line, column).end()  # type: ignore[union-attr]
        if line.startswith(quote, column):
            return row, column + len(quote), offset
        if len(quote) == 1 and not line.removesuffix("\r").endswith("\\"):
            return begin
        offset += len(line) + 1
        row, column = row + 1, 0
    return row, 0, offset


def _assigns_magic(text: str, equals: int) -> bool:
    found = _ASSIGNED.match(text, equals)
    begins_line = not text[text.rfind("\n", 0, equals) + 1 : equals - 1].strip()
    return found is not None and not (found[1] and begins_line)


def _continued(lines: list[str], row: int) -> int:
    """The number of the line after ``row`` and its backslash continuations."""
    while row < len(lines) and lines[row].removesuffix("\r").endswith("\\"):
        row += 1
    return min(row + 1, len(lines))


def _commented(lines: list[str], colon: int | None = None) -> list[str]:
    """Lines as comments. An indented one gets a ``pass``, because the block might be empty otherwise."""
    first = lines[0]
    if colon is not None:
        head, rest = first[:colon], first[colon:]
        first = f"{head} pass  # {rest.lstrip()}"
    elif first[:1] in (" ", "\t", "\f"):
        code = first.lstrip()
        first = f"{first[: len(first) - len(code)]}pass  # {code}"
    else:
        first = f"# {first}"
    return [first, *map(_comment, lines[1:])]


def _comment(line: str) -> str:
    return f"# {line}".rstrip()
