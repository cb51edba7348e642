"""Python programs out of answers: what of a text is Python, what it defines, and what of it a function needs."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
import warnings
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_LINE = re.compile(
    r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+"
)  # as Python counts: str.splitlines knows more line ends
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_LONGEST = 1_000_000
"""Characters of the longest program that is parsed."""
_MOST_WORK = 1_000_000
"""Characters that are parsed for one answer, all tries together."""
_FAILED_SHARE = 20
"""A try that fails at its beginning costs so much less than one that reads all of it."""
_work_left: ContextVar[list[int] | None] = ContextVar("_work_left", default=None)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Import = ast.Import | ast.ImportFrom


def lines_of(text: str) -> list[str]:
    """Lines with their ends, as Python counts them."""
    return _LINE.findall(text)


@contextmanager
def bounded_work() -> Generator[None]:
    """Within it, what is parsed is bounded: of what would take too long, the rest counts as no Python."""
    token = None if _work_left.get() is not None else _work_left.set([_MOST_WORK * _FAILED_SHARE])
    try:
        yield
    finally:
        if token is not None:
            _work_left.reset(token)


def _is_used_up() -> bool:
    left = _work_left.get()
    return left is not None and left[0] <= 0


def _count_work(characters: int) -> None:
    if (left := _work_left.get()) is not None:
        left[0] -= characters


def parse_python(program: str) -> ast.Module | None:
    """The syntax tree; None of what is no Python, or nothing."""
    tree = _tree_or_line(program)
    return tree if isinstance(tree, ast.Module) else None


def longest_program(lines: Sequence[str], start: int = 0) -> tuple[int, ast.Module] | None:
    """Where the longest run of lines from ``start`` on that is Python ends, and its tree; None if there is none."""
    end = len(lines)
    while end > start and not _is_used_up():
        found = _tree_or_line("".join(lines[start:end]))
        if isinstance(found, ast.Module):
            return end, found
        # No shorter run that still holds the line of the mistake is Python, save where the line is not known.
        end = min(end - 1, start + found - 1) if found else end - 1
    return None


def _tree_or_line(program: str) -> ast.Module | int:
    """The tree, or the number of the line (from 1) that can't go on the lines before it; 0 where that isn't known."""
    if len(program) > _LONGEST or _is_used_up():
        return 0
    with warnings.catch_warnings(action="ignore"):  # of escapes that are none
        try:
            tree = ast.parse(program)
        except SyntaxError as error:
            line = max(0, error.lineno or 0)
            read = sum(map(len, program.split("\n", line)[:line])) if line else len(program)
            _count_work(len(program) + _FAILED_SHARE * (read + 100))
            return line
        except (ValueError, RecursionError, MemoryError):
            _count_work(_FAILED_SHARE * (len(program) + 100))
            return 0
    _count_work(_FAILED_SHARE * (len(program) + 100))
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


def is_function_body(tree: ast.Module) -> bool:
    """Whether it is what stands in a function rather than a module: it returns something."""
    return any(isinstance(node, ast.Return | ast.Yield) for each in tree.body for node in _in_module(each))


def missing_names(tree: ast.Module) -> set[str]:
    """Names that a program reads and nothing in it binds; none if it imports ``*``."""
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return set()
    known = _bound_in(tree)
    known |= {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    return _names_outside(tree) - known - _BUILTINS


def _names_outside(node: ast.Module | ast.stmt) -> set[str]:
    """The module's names that a statement (or a module) uses, without its functions' own variables."""
    with warnings.catch_warnings(action="ignore"):
        try:
            tables = [symtable.symtable(ast.unparse(node), "program", "exec")]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return names_read(node)
    found = {symbol.get_name() for symbol in tables[0].get_symbols() if symbol.is_referenced()}
    while tables:
        for table in tables.pop().get_children():
            found |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
            tables.append(table)
    return found


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
    with bounded_work():
        found = longest_program(lines)
    if found is None:
        return program
    body = found[1].body
    imports = [each for each in body if isinstance(each, _Import)]
    return _text_of(lines, [*imports, *_reached(body, {entry_point})])


def with_needed_definitions(program: str, others: Sequence[str]) -> str:
    """A program behind those imports and definitions that it needs and lacks, of others, of which the last win."""
    tree = parse_python(program)
    missing = missing_names(tree) if tree is not None else set()
    parts: list[str] = []
    for other in reversed(others):
        lines = lines_of(other)
        found = longest_program(lines) if missing else None
        if found is None:
            continue
        statements = _reached(found[1].body, missing)
        missing -= {name for statement in statements for name in bound_names(statement)}
        for statement in statements:
            missing |= _names_outside(statement) - _BUILTINS - _bound_in(found[1])
        if text := _text_of(lines, statements):
            parts.append(text if text.endswith("\n") else text + "\n")
    return append_program("".join(reversed(parts)), program)


def _bound_in(tree: ast.Module) -> set[str]:
    return {name for statement in tree.body for name in bound_names(statement)}


def _reached(body: Sequence[ast.stmt], names: Iterable[str]) -> list[ast.stmt]:
    """The statements that bind the names or change what they stand for, and what those use in turn."""
    body = [statement for statement in body if not _is_for_scripts(statement)]
    variables = {
        name
        for statement in body
        if not isinstance(statement, _Definition | _Import)
        for name in bound_names(statement)
    }
    makers: dict[str, list[ast.stmt]] = {}
    for statement in body:
        for name in {*bound_names(statement), *_changed_names(statement, variables)}:
            makers.setdefault(name, []).append(statement)
    kept: dict[ast.stmt, None] = {}
    wanted, seen = list(names), set(names)
    while wanted:
        for statement in makers.get(wanted.pop(), ()):
            if statement not in kept:
                kept[statement] = None
                used = _names_outside(statement)
                wanted += used - seen
                seen |= used
    return list(kept)


def _is_for_scripts(statement: ast.stmt) -> bool:
    """``if __name__ == "__main__":``, which does nothing in a program that is called."""
    return isinstance(statement, ast.If) and "__name__" in names_read(statement.test)


def _changed_names(statement: ast.stmt, variables: Collection[str]) -> Iterator[str]:
    """Names whose value a statement of a module changes in place: ``a[0] = 1``, ``f.cache = {}``, ``a.append(1)``.

    Calls change ``variables`` only: that of a function's or module's attribute shows its use.
    """
    for node in _in_module(statement):
        if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield from _root(node)
        elif (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
        ):
            yield from (name for name in _root(node.value.func) if name in variables)


def _root(node: ast.expr) -> Iterator[str]:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _in_module(statement: ast.AST) -> Iterator[ast.AST]:
    """A statement's parts, without what is in the functions and classes that it defines."""
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _Definition | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _text_of(lines: Sequence[str], statements: Iterable[ast.stmt]) -> str:
    numbers = {number for statement in statements for number in _lines(statement)}
    return "".join(line for number, line in enumerate(lines, 1) if number in numbers)


def append_program(prompt: str, program: str) -> str:
    """``program`` behind ``prompt``, as one program.

    A whole program may begin with ``from __future__ import ...``, which Python takes at a file's beginning only: that
    is put before the prompt.
    """
    future, rest = split_future_imports(program)
    return f"{future}{prompt}{rest}"


def split_future_imports(program: str) -> tuple[str, str]:
    """A program's ``from __future__`` imports as lines of their own, and the program without them, line by line."""
    tree = parse_python(program) if "__future__" in program else None
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
    for node in _in_module(statement):
        if isinstance(node, _Definition):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def names_read(tree: ast.AST) -> set[str]:
    """Names that are read anywhere in it."""
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _lines(statement: ast.stmt) -> range:
    """The numbers of a statement's lines, its decorators' too."""
    first = min(node.lineno for node in (statement, *getattr(statement, "decorator_list", ())))
    return range(first, (statement.end_lineno or first) + 1)
