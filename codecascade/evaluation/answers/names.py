"""The names that statements of Python bind and use."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from codecascade.ground.python_source import symbols

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def bound_names(statement: ast.AST) -> Iterator[str]:
    """The names that a statement of a module binds."""
    for node in in_module(statement):
        if isinstance(node, Definition):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def names_read(tree: ast.AST) -> set[str]:
    """The names that are read anywhere in the tree."""
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def names_outside(node: ast.Module | ast.stmt) -> set[str]:
    """The module's names that a statement or module uses, without the local variables of its functions."""
    table = symbols(node)
    if table is None:
        return names_read(node)
    tables = [table]
    found = {symbol.get_name() for symbol in tables[0].get_symbols() if symbol.is_referenced()}
    while tables:
        for table in tables.pop().get_children():
            found |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
            tables.append(table)
    return found


def in_module(statement: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a statement of a module, without those inside the functions and classes that it defines."""
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Definition | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def root_name(node: ast.expr) -> Iterator[str]:
    """The name that parts are taken of: ``a`` of ``a.b[0]``. None if it is the value of a call or the like."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
