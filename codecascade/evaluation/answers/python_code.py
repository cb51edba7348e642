"""Python programs out of answers: what of a text is Python, what it defines, and what of it a function needs."""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence

_LINE = re.compile(
    r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+"
)  # as Python counts: str.splitlines knows more line ends
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Import = ast.Import | ast.ImportFrom


def lines_of(text: str) -> list[str]:
    """Lines with their ends, as Python counts them."""
    return _LINE.findall(text)


def parsed(program: str) -> ast.Module | None:
    """The syntax tree; None of what is no Python, or nothing."""
    tree = _tree_or_line(program)
    return tree if isinstance(tree, ast.Module) else None


def longest_program(lines: Sequence[str], start: int = 0) -> tuple[int, ast.Module] | None:
    """Where the longest run of lines from ``start`` on that is Python ends, and its tree; None if there is none."""
    end = len(lines)
    while end > start:
        found = _tree_or_line("".join(lines[start:end]))
        if isinstance(found, ast.Module):
            return end, found
        # No shorter run that still holds the line of the mistake is Python, save where the line is not known.
        end = min(end - 1, start + found - 1) if found else end - 1
    return None


def _tree_or_line(program: str) -> ast.Module | int:
    """The tree, or the number of the line (from 1) that can't go on the lines before it; 0 where that isn't known."""
    with warnings.catch_warnings(action="ignore"):  # of escapes that are none
        try:
            tree = ast.parse(program)
        except SyntaxError as error:
            return max(0, error.lineno or 0)
        except (ValueError, RecursionError, MemoryError):
            return 0
    return tree if tree.body else 0


def defines(tree: ast.Module, names: Collection[str]) -> bool:
    """Whether a module defines one of the functions (or classes), with a body that does something."""
    return any(name in names and not _is_stub(node) for name, node in _definitions(tree.body))


def declares(tree: ast.Module, names: Collection[str]) -> bool:
    """:func:`defines`, or only says that there is such a function."""
    return any(name in names for name, _ in _definitions(tree.body))


def _definitions(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Names of functions and classes, and names that something else is assigned to; within ``if`` and ``try`` too."""
    for statement in body:
        if isinstance(statement, _Definition):
            yield statement.name, statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                # `f = f(1)` shows a function's use.
                if isinstance(target, ast.Name) and target.id not in names_read(statement.value):
                    yield target.id, statement
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _definitions(statement.body)
            yield from _definitions(getattr(statement, "orelse", ()))


def _is_stub(node: ast.stmt) -> bool:
    """A function without a body of its own: ``pass``, ``...``, a docstring, ``raise NotImplementedError``."""
    if not isinstance(node, _Function):
        return False
    return all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        or (isinstance(each, ast.Raise) and "NotImplemented" in ast.unparse(each))
        for each in node.body
    )


def missing_names(tree: ast.Module) -> set[str]:
    """Names that a program reads and nothing in it binds; none if it imports ``*``."""
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return set()
    known = {name for node in tree.body for name in bound_names(node)}
    known |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and _is_bound(node)}
    known |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    known |= {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    known |= {
        node.name for node in ast.walk(tree) if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name
    }
    known |= {
        name
        for node in ast.walk(tree)
        if isinstance(node, _Definition | _Import)
        for name in bound_names(node)
    }
    return names_read(tree) - known - _BUILTINS


def is_program(tree: ast.Module) -> bool:
    """Whether it does more than name constants, as sample inputs and outputs do that happen to be Python."""
    return any(
        not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant | ast.Name | ast.Tuple))
        for each in tree.body
    )


def sanitized(program: str, entry_point: str) -> str:
    """A program without what ``entry_point`` does not need, such as calls that show its use (EvalPlus, sanitize.py).

    What stays: imports, and the definitions and assignments that the function reaches by name. A program that was cut
    off is taken as far as it is Python; one that is none from its first line on is returned as it is.
    """
    lines = lines_of(program)
    found = longest_program(lines)
    if found is None:
        return program
    body = found[1].body
    imports = [each for each in body if isinstance(each, _Import)]
    return _text_of(lines, [*imports, *_reached(body, {entry_point})])


def with_parts_of(program: str, others: Sequence[str]) -> str:
    """A program behind those imports and definitions of earlier ones that it needs and lacks."""
    tree = parsed(program)
    missing = missing_names(tree) if tree is not None else set()
    parts = []
    for other in reversed(others):
        lines = lines_of(other)
        found = longest_program(lines)
        if not missing or found is None:
            continue
        statements = _reached(found[1].body, missing)
        missing -= {name for statement in statements for name in bound_names(statement)}
        if text := _text_of(lines, statements):
            parts.append(text if text.endswith("\n") else text + "\n")
    return "".join(reversed(parts)) + program


def _reached(body: Sequence[ast.stmt], names: Iterable[str]) -> list[ast.stmt]:
    """The statements that bind the names, and what those use in turn."""
    definers: dict[str, list[ast.stmt]] = {}
    for statement in body:
        for name in bound_names(statement):
            definers.setdefault(name, []).append(statement)
    kept: list[ast.stmt] = []
    wanted, seen = list(names), set(names)
    while wanted:
        for statement in definers.get(wanted.pop(), ()):
            kept.append(statement)
            used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            wanted += used - seen
            seen |= used
    return kept


def _text_of(lines: Sequence[str], statements: Iterable[ast.stmt]) -> str:
    numbers = {number for statement in statements for number in _lines(statement)}
    return "".join(line for number, line in enumerate(lines, 1) if number in numbers)


def behind(prompt: str, program: str) -> str:
    """``program`` behind ``prompt``, as one program.

    A whole program may begin with ``from __future__ import ...``, which Python takes at a file's beginning only: that
    is put before the prompt.
    """
    future, rest = without_future(program)
    return f"{future}{prompt}{rest}"


def without_future(program: str) -> tuple[str, str]:
    """A program's ``from __future__`` imports as lines of their own, and the program without them, line by line."""
    tree = parsed(program) if "__future__" in program else None
    if tree is None:
        return "", program
    lines = [line.encode() for line in lines_of(program)]
    future = []
    for place, statement in enumerate(tree.body):
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__" and not statement.level:
            first, last = statement.lineno - 1, (statement.end_lineno or statement.lineno) - 1
            after = lines[last][statement.end_col_offset :]
            lines[first] = (
                lines[first][: statement.col_offset] + b"pass" + (after if first == last else b"\n")
            )
            for number in range(first + 1, last + 1):
                lines[number] = b"\n"
            if first != last:
                lines[last] = after if after.strip() in (b"",) else after.lstrip(b" ;")
            future.append(ast.unparse(statement) + "\n")
        elif not (
            place == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        ):
            break  # what comes later is a mistake in the program by itself, too
    return "".join(future), b"".join(lines).decode()


def bound_names(statement: ast.AST) -> Iterator[str]:
    """The names that a statement of a module defines."""
    if isinstance(statement, _Definition):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, _Definition):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def _is_bound(node: ast.Name) -> bool:
    return not isinstance(node.ctx, ast.Load)


def names_read(tree: ast.AST) -> set[str]:
    """Names that are read anywhere in it."""
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _lines(statement: ast.stmt) -> range:
    """The numbers of a statement's lines, its decorators' too."""
    first = min(node.lineno for node in (statement, *getattr(statement, "decorator_list", ())))
    return range(first, (statement.end_lineno or first) + 1)
