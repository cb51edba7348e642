"""Parses texts that may be Python, and bounds the work of the many attempts at one answer."""

from __future__ import annotations

import ast
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from codecascade.ground.python_source import NotPythonError, parse

# Lines as Python counts them. str.splitlines also splits at other characters, such as form feeds.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LONGEST = 1_000_000
"""A longer program, in characters, is not parsed."""
_MOST_WORK = 1_000_000
"""How many characters are parsed for one answer, in all attempts together."""
_READ_COST = 20
"""An attempt costs this many units for a character that is read, and 1 for a character after a syntax error."""
_MOST_KEPT = 4
"""How many texts of an answer are remembered with what they were parsed to: many attempts are at the same text."""


@dataclass
class _Work:
    """What may still be parsed for an answer, and what was parsed last."""

    left: int
    parsed: dict[str, ast.Module | int] = field(default_factory=dict)


_work: ContextVar[_Work | None] = ContextVar("_work", default=None)


def lines_of(text: str) -> list[str]:
    """The lines of a text with their line ends, as Python counts lines."""
    return _LINE.findall(text)


@contextmanager
def bounded_work() -> Generator[None]:
    """Bound what is parsed inside the ``with`` block. When it is used up, further texts count as not Python."""
    token = None if _work.get() is not None else _work.set(_Work(_MOST_WORK * _READ_COST))
    try:
        yield
    finally:
        if token is not None:
            _work.reset(token)


def _is_used_up() -> bool:
    work = _work.get()
    return work is not None and work.left <= 0


def _count_work(characters: int) -> None:
    if (work := _work.get()) is not None:
        work.left -= characters


def parse_python(program: str) -> ast.Module | None:
    """The syntax tree; None if the text is not Python or has no statement."""
    tree = _tree_or_line(program)
    return tree if isinstance(tree, ast.Module) else None


def longest_program(lines: Sequence[str], start: int = 0) -> tuple[int, ast.Module] | None:
    """The end and the tree of the longest run of lines from ``start`` that is Python; None if there is none."""
    end = len(lines)
    while end > start and not _is_used_up():
        found = _tree_or_line("".join(lines[start:end]))
        if isinstance(found, ast.Module):
            return end, found
        # A shorter run that still contains the line of the syntax error is not Python either, so it is not tried.
        end = min(end - 1, start + found - 1) if found else end - 1
    return None


def _tree_or_line(program: str) -> ast.Module | int:
    """The tree, or the number (from 1) of the line with the syntax error; 0 if that line is not known."""
    if len(program) > _LONGEST or _is_used_up():
        return 0
    work = _work.get()
    if work is None:
        return _parsed(program)
    found = work.parsed.pop(program) if program in work.parsed else _parsed(program)
    # The last ones stay.
    work.parsed[program] = found
    if len(work.parsed) > _MOST_KEPT:
        del work.parsed[next(iter(work.parsed))]
    return found


def _parsed(program: str) -> ast.Module | int:
    """:func:`_tree_or_line` of a text that is not known yet."""
    try:
        tree = parse(program)
    except NotPythonError as error:
        read = sum(map(len, program.split("\n", error.line)[: error.line])) if error.line else len(program)
        _count_work(len(program) + _READ_COST * (read + 100))
        return error.line
    _count_work(_READ_COST * (len(program) + 100))
    return tree if tree.body else 0
