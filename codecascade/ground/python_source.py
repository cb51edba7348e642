"""Parses Python source that somebody else wrote: a model, a corpus, a benchmark's file.

CPython's parser fails in five ways: SyntaxError for what is not Python, ValueError for a null byte, RecursionError
and MemoryError for nesting that is too deep, and SystemError. Here they are all one outcome.

A SystemError says nothing about the text. CPython up to 3.12 counts the nesting of all threads in one counter
(gh-106905), so two threads that parse at the same time can disturb each other. Therefore one thread parses at a time;
since parsing holds the interpreter's lock in any case, this costs nothing.
"""

from __future__ import annotations

import ast
import os
import symtable
import threading
import warnings
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")

# Code of a library may parse without our lock.
_ATTEMPTS = 20
# Reentrant, because a finalizer may run while a text is parsed, and may parse a text itself.
_one_thread = threading.RLock()


def _make_new_lock() -> None:
    global _one_thread
    _one_thread = threading.RLock()


# A process that was forked while another thread parsed would wait for that thread without end.
os.register_at_fork(after_in_child=_make_new_lock)


class NotPythonError(Exception):
    """A text that CPython can't parse.

    Attributes:
        line: the number (from 1) of the line with the syntax error; 0 if it is not known.
    """

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


def parse(text: str) -> ast.Module:
    """The syntax tree of a module.

    Raises:
        NotPythonError: the text is not Python, or it is nested more deeply than CPython can read.
    """
    return _attempt(lambda: ast.parse(text))


def parse_module(text: str) -> ast.Module | None:
    """The syntax tree of a module; None if it can't be parsed."""
    try:
        return parse(text)
    except NotPythonError:
        return None


def compiles(text: str) -> bool:
    """Whether a module compiles. One that can be parsed may still not (``return`` outside a function)."""
    try:
        _attempt(lambda: compile(text, "program.py", "exec", dont_inherit=True))
    except NotPythonError:
        return False
    return True


def symbols(tree: ast.Module | ast.stmt) -> symtable.SymbolTable | None:
    """The symbol table of a tree, as a module; None if it can't be made, for a tree that is nested too deeply."""
    text = unparse(tree)
    if text is None:
        return None
    try:
        return _attempt(lambda: symtable.symtable(text, "program.py", "exec"))
    except NotPythonError:
        return None


def unparse(tree: ast.AST) -> str | None:
    """The source of a tree; None if it is nested more deeply than Python functions can call each other.

    ``ast.unparse`` gives up at trees that ``ast.parse`` makes: at about 300 levels, where the parser reads 3,000.
    """
    try:
        return ast.unparse(tree)
    except RecursionError:
        return None


def _attempt(make: Callable[[], _Result]) -> _Result:
    for left in reversed(range(_ATTEMPTS)):
        # Of escapes that are invalid, and of `is` with a number. The list of filters belongs to all threads.
        with _one_thread, warnings.catch_warnings(action="ignore"):
            try:
                return make()
            except SyntaxError as error:
                raise NotPythonError(str(error), max(0, error.lineno or 0)) from None
            except SystemError as error:
                if not left:
                    raise NotPythonError(str(error)) from None
            except (ValueError, RecursionError, MemoryError) as error:
                raise NotPythonError(str(error) or type(error).__name__) from None
    raise AssertionError
