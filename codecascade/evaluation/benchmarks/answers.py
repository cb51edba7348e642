"""Takes the answer out of what a model wrote."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

_FENCE = re.compile("```")
_QUOTES = re.compile("^'''", re.MULTILINE)
_LINE = re.compile(
    r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+"
)  # as Python counts: str.splitlines knows more line ends
_TAG = re.compile(r"(?:python3?|py)?[ \t]*\r?\n", re.IGNORECASE)
_NUMBER = re.compile(r"(?:(?<!\d)-)?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")


def fenced_code(text: str, *, quotes: bool = False, holding: str = "") -> str:
    """A block between two fences of three backticks, to the end where the last fence is missing.

    A text without a fence is all code.

    Args:
        quotes: without backticks, ``'''`` at the beginning of a line is a fence too. (Within a line it is a string:
            a docstring's quotes are indented.)
        holding: the first block with this in it is taken (else the text before all, which is a block that the prompt
            opened), or the first of all.
    """
    fence = _QUOTES if quotes and not _FENCE.search(text) else _FENCE
    before, *others = fence.split(text)
    blocks = [*map(untagged, others[::2]), before]
    return next((block for block in blocks if holding in block), blocks[0])


def untagged(code: str) -> str:
    """What follows an opening fence, without the language's name and the line break after it."""
    tag = _TAG.match(code)
    return code[tag.end() :] if tag else code


def sanitized(program: str, entry_point: str) -> str:
    """A program without what ``entry_point`` does not need, such as calls that show its use (EvalPlus, sanitize.py).

    What stays: imports, and the definitions and assignments that the function reaches by name. A program that was cut
    off is taken as far as it is Python; one that is none from its first line on is returned as it is.
    """
    lines = _LINE.findall(program)
    tree = next((tree for end in range(len(lines), 0, -1) if (tree := _parsed("".join(lines[:end])))), None)
    if tree is None:
        return program
    definers: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _bound(statement):
            definers.setdefault(name, []).append(statement)
    kept: list[ast.stmt] = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
    wanted, seen = [entry_point], {entry_point}
    while wanted:
        for statement in definers.get(wanted.pop(), ()):
            kept.append(statement)
            names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            wanted += names - seen
            seen |= names
    numbers = {number for statement in kept for number in _lines(statement)}
    return "".join(line for number, line in enumerate(lines, 1) if number in numbers)


def _parsed(program: str) -> ast.Module | None:
    """The syntax tree; None of what is no Python, or nothing."""
    with warnings.catch_warnings(action="ignore"):  # of escapes that are none
        try:
            tree = ast.parse(program)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    return tree if tree.body else None


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def _lines(statement: ast.stmt) -> range:
    """The numbers of a statement's lines, its decorators' too."""
    first = min(node.lineno for node in (statement, *getattr(statement, "decorator_list", ())))
    return range(first, (statement.end_lineno or first) + 1)


def first_line(text: str) -> str:
    """The first line that is not blank, without the white space around it; "" if there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def last_number(text: str) -> str | None:
    """The last number of a text as plain digits: no ``$``, no thousands separators, no zeros after the point."""
    numbers: list[str] = _NUMBER.findall(text)
    if not numbers:
        return None
    digits = numbers[-1].replace("$", "").replace(",", "")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
