"""Takes away what a program does besides defining its function: examples of its use, prints, imports for those."""

from __future__ import annotations

import ast

from codecascade.evaluation.answers.names import bound_names, names_read
from codecascade.evaluation.answers.parsing import parse_python
from codecascade.evaluation.answers.python_code import sanitized

_Import = ast.Import | ast.ImportFrom
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def without_examples_of_use(code: str, name: str) -> str:
    """The statements that the function ``name`` needs, with empty lines between them as is usual.

    A program that holds nothing else is returned as it is written, with all its comments.
    """
    shorter = sanitized(code + "\n", name)
    tree, before = parse_python(shorter), parse_python(code)
    if tree is None or before is None:
        return code
    kept = [statement for statement in tree.body if not _is_unused_import(statement, tree)]
    if len(kept) == len(before.body):
        return code
    lines = shorter.split("\n")
    ends = [statement.end_lineno or statement.lineno for statement in tree.body]
    starts = [_first_line(statement) for statement in tree.body]
    if any(start <= end for start, end in zip(starts[1:], ends, strict=False)):
        # Statements share a line.
        return shorter.strip("\n")
    parts: list[str] = []
    last: ast.stmt | None = None
    for statement, start, end in zip(tree.body, starts, ends, strict=True):
        if statement not in kept:
            continue
        if last is not None and (isinstance(statement, _Definition) or isinstance(last, _Definition)):
            parts += ["", ""]
        elif isinstance(last, _Import) and not isinstance(statement, _Import):
            parts.append("")
        parts += lines[start - 1 : end]
        last = statement
    return "\n".join(parts)


def _is_unused_import(statement: ast.stmt, tree: ast.Module) -> bool:
    if not isinstance(statement, _Import):
        return False
    if isinstance(statement, ast.ImportFrom) and (
        statement.module == "__future__" or statement.names[0].name == "*"
    ):
        return False
    used = {name for other in tree.body if other is not statement for name in names_read(other)}
    return not used & set(bound_names(statement))


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])
