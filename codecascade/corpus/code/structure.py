"""The statements of a file, by the bodies that they are in, and whether a text parses.

Python is parsed by Python itself, other languages by tree-sitter's grammars as far as they are installed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from codecascade.corpus.code.grammars import Grammar, grammar_of, nodes, tree_of
from codecascade.ground.python_source import parse_module

BodyKind = Literal["function", "block", "definitions"]
_FUNCTION = re.compile(r"function|method|constructor|destructor|func_literal|accessor")
_DEFINITIONS = re.compile(r"program|source_file|translation_unit|class_body|declaration_list")
_REST_OF_LINE = re.compile(rb"[ \t\r;,]*((#|//|/\*).*)?")

_Place = tuple[int, int]
"""A row from 0, and a column in bytes."""


@dataclass(frozen=True)
class Body:
    """The statements of a function, of a block, or of a file or class (``definitions``).

    Attributes:
        statements: ``(first line, last line)`` of each, from 0. They have these lines to themselves. A docstring
            is not among them.
        whole: these are all its statements.
    """

    kind: BodyKind
    statements: tuple[tuple[int, int], ...]
    whole: bool


def bodies(text: str, language: str, path: str = "") -> list[Body]:
    """The bodies of a text; none if it does not parse, or there is no parser for its language."""
    # The parsers would count a lone carriage return as a line's end, or as none.
    if "\r" in text.replace("\r\n", "\n"):
        return []
    lines = text.encode(errors="surrogatepass").split(b"\n")
    if language == "python":
        found = _python_bodies(text)
    elif (grammar := grammar_of(language, path)) is not None:
        found = _tree_bodies(text, grammar)
    else:
        return []
    made = (_body(kind, places, lines) for kind, places in found)
    return [body for body in made if body is not None]


def has_parser(language: str, path: str = "") -> bool:
    """Whether texts of a language can be parsed here."""
    return language == "python" or grammar_of(language, path) is not None


def parses(text: str, language: str, path: str = "") -> bool | None:
    """Whether a text parses without an error; None if there is no parser for its language."""
    if language == "python":
        return parse_module(text) is not None
    grammar = grammar_of(language, path)
    if grammar is None:
        return None
    return not tree_of(text.encode(errors="surrogatepass"), grammar).has_error


def _body(kind: BodyKind, places: Sequence[tuple[_Place, _Place]], lines: Sequence[bytes]) -> Body | None:
    alone = [
        (first[0], last[0])
        for first, last in places
        if not lines[first[0]][: first[1]].strip() and _REST_OF_LINE.fullmatch(lines[last[0]][last[1] :])
    ]
    return Body(kind, tuple(alone), len(alone) == len(places)) if alone else None


def _python_bodies(text: str) -> Iterator[tuple[BodyKind, list[tuple[_Place, _Place]]]]:
    tree = parse_module(text)
    waiting: list[ast.AST] = [] if tree is None else [tree]
    while waiting:
        node = waiting.pop()
        waiting += ast.iter_child_nodes(node)
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if not isinstance(statements, list) or not statements:
                continue
            first = statements[0]
            if (
                name == "body"
                and isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                statements = statements[1:]
            if name == "orelse" and len(statements) == 1 and isinstance(statements[0], ast.If):
                # An `elif`, which the tree has as an `if` within `else`.
                continue
            kind: BodyKind = "block"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                kind = "function"
            elif isinstance(node, ast.Module | ast.ClassDef):
                kind = "definitions"
            yield kind, [_python_place(statement) for statement in statements]


def _python_place(statement: ast.stmt) -> tuple[_Place, _Place]:
    assert statement.end_lineno is not None and statement.end_col_offset is not None
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    # The sign before a decorator is in the column before it.
    starts = [(statement.lineno, statement.col_offset)]
    starts += [(each.lineno, max(0, each.col_offset - 1)) for each in decorators]
    line, column = min(starts)
    return (line - 1, column), (statement.end_lineno - 1, statement.end_col_offset)


def _tree_bodies(text: str, grammar: Grammar) -> Iterator[tuple[BodyKind, list[tuple[_Place, _Place]]]]:
    root = tree_of(text.encode(errors="surrogatepass"), grammar)
    if root.has_error:
        return
    for node, parent in nodes(root):
        if node.type in grammar.bodies:
            yield (
                _kind(node, parent),
                [
                    _tree_place(child)
                    for child in node.named_children
                    if "comment" not in child.type and child.type not in ("php_tag", "text")
                ],
            )


def _kind(node: Any, parent: Any) -> BodyKind:
    if _DEFINITIONS.fullmatch(node.type):
        return "definitions"
    # In Go a body's statements are in a list of their own within its braces.
    owner = parent.parent if parent is not None and node.type == "statement_list" else parent
    if owner is None:
        return "definitions"
    if owner.type in ("class", "module", "singleton_class"):
        return "definitions"
    return "function" if _FUNCTION.search(owner.type) else "block"


def _tree_place(node: Any) -> tuple[_Place, _Place]:
    (first, column), (last, end) = node.start_point, node.end_point
    # Some nodes hold the line break behind them.
    return (first, column), ((last, end) if end or last == first else (last - 1, 1 << 30))
