"""Finds the functions of a Python file, with their exact positions in the text."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codecascade.ground.python_source import parse_module

# The line ends that Python's parser counts; str.splitlines knows more.
_LINE_END = re.compile("\r\n|\r|\n")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Definition = FunctionNode | ast.ClassDef


@dataclass(frozen=True, slots=True)
class PythonFunction:
    """A function or a method; ``text[start:end] == source``."""

    name: str
    source: str
    """From the beginning of its first line (decorators and indentation included) to its last character."""
    qualified_name: str
    """``Class.method`` for a method."""
    docstring: str | None
    """Cleaned of its indentation, as :func:`inspect.getdoc` gives it."""
    start: int
    end: int
    """Characters."""

    @property
    def standalone(self) -> str:
        """The source moved to the left margin, so that a method reads as a function."""
        return textwrap.dedent(self.source)


def python_functions(text: str) -> list[PythonFunction]:
    """The module-level functions and the methods of a Python file, in text order; [] if it isn't valid Python.

    A nested function is part of the outer one. Code under ``if``, ``try`` and ``with`` at the level of a module or
    class counts as that level.
    """
    tree = parse_module(text)
    if tree is None:
        return []
    positions = SourcePositions(text)
    functions = []
    for qualified_name, node in definitions(tree.body):
        if not isinstance(node, ast.ClassDef):
            start, end = positions.whole_lines(node)
            functions.append(
                PythonFunction(
                    node.name, text[start:end], qualified_name, ast.get_docstring(node), start, end
                )
            )
    return functions


class SourcePositions:
    """Converts the parser's positions (lines from 1, columns in UTF-8 bytes) into character positions."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.line_starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def character(self, line: int, column: int) -> int:
        start = self.line_starts[line - 1]
        ascii_guess = self.text[start : start + column]
        if not ascii_guess.isascii():
            column = len(ascii_guess.encode()[:column].decode())
        return start + column

    def span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        """The position of a node's first character, and the one after its last."""
        # Set by the parser.
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.character(node.lineno, node.col_offset), self.character(
            node.end_lineno, node.end_col_offset
        )

    def whole_lines(self, node: Definition) -> tuple[int, int]:
        """The span of a definition, from the beginning of the line of its first decorator."""
        line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        if node.decorator_list:
            # The expression of a decorator `@(` may begin on a later line.
            while not self.text.startswith("@", self._indented(line)):
                line -= 1
        return self.line_starts[line - 1], self.span(node)[1]

    def _indented(self, line: int) -> int:
        start = self.line_starts[line - 1]
        while self.text[start] in " \t\f":
            start += 1
        return start


def definitions(body: Sequence[ast.stmt]) -> Iterator[tuple[str, Definition]]:
    """``(qualified name, node)`` of the classes and functions of a body; a class comes before its members."""
    # No recursion: each `elif` of a chain is nested in the one before, and there may be thousands.
    waiting = [(node, "") for node in reversed(body)]
    while waiting:
        node, prefix = waiting.pop()
        inner: list[ast.stmt] = []
        if isinstance(node, Definition):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                inner, prefix = node.body, f"{prefix}{node.name}."
        else:
            for block in ("body", "orelse", "finalbody"):
                inner = [*inner, *getattr(node, block, ())]
            for handler in getattr(node, "handlers", ()):
                inner = [*inner, *handler.body]
        waiting += [(each, prefix) for each in reversed(inner)]
