"""Python programs in answers: which part of a text is Python, what it defines, and what a function of it needs."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterable, Iterator, Sequence

from codecascade.evaluation.answers.parsing import bounded_work, lines_of, longest_program, parse_python
from codecascade.ground.python_source import symbols, unparse

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Import = ast.Import | ast.ImportFrom


def defines(tree: ast.Module, names: Collection[str]) -> bool:
    """Whether a module defines one of the functions or classes, with a body that does something."""
    return any(name in names and not _is_stub(node) for name, node in _definitions(tree.body))


def declares(tree: ast.Module, names: Collection[str]) -> bool:
    """Whether a module defines one of the functions or classes, even if only as a stub."""
    return any(name in names for name, _ in _definitions(tree.body))


def _definitions(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that definitions and assignments bind, with their statements; within ``if``, ``try`` and ``with``
    too.
    """
    # No recursion: each `elif` of a chain is nested in the one before, and there may be thousands.
    waiting = [*body][::-1]
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, _Definition):
            yield statement.name, statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                # `f = f(1)` uses a function and does not define it.
                if isinstance(target, ast.Name) and target.id not in names_read(statement.value):
                    yield target.id, statement
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            waiting += [*statement.body, *getattr(statement, "orelse", ())][::-1]


def _is_stub(node: ast.stmt) -> bool:
    """Whether a function does nothing: ``pass``, ``...``, a docstring, ``raise NotImplementedError``."""
    if not isinstance(node, _Function):
        return False
    return all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        or (isinstance(each, ast.Raise) and "NotImplemented" in (unparse(each) or ""))
        for each in node.body
    )


def is_function_body(tree: ast.Module) -> bool:
    """Whether the statements are the body of a function: they return or yield something."""
    return any(isinstance(node, ast.Return | ast.Yield) for each in tree.body for node in _in_module(each))


def missing_names(tree: ast.Module) -> set[str]:
    """The names that a program reads and does not bind; empty if it imports ``*``."""
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return set()
    known = _bound_in(tree)
    known |= {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    return _names_outside(tree) - known - _BUILTINS


def _names_outside(node: ast.Module | ast.stmt) -> set[str]:
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


def is_program(tree: ast.Module) -> bool:
    """Whether the program does more than name constants. Sample inputs and outputs may be Python by accident."""
    return any(
        not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant | ast.Name | ast.Tuple))
        for each in tree.body
    )


def sanitized(program: str, entry_point: str) -> str:
    """A program without what ``entry_point`` does not need, such as examples of its use (EvalPlus, sanitize.py).

    Imports stay, and the definitions and assignments that the function needs, directly or through others. Of a
    program that was cut off, the part that is Python is taken. A text whose first line is not Python is returned
    unchanged.
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
    """A program, preceded by the imports and definitions of ``others`` that it needs and lacks. Later ones win."""
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
    """The statements that bind the names or change their values, and those that these statements need in turn."""
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
    """Whether a statement is ``if __name__ == "__main__":``, which a function does not need."""
    return isinstance(statement, ast.If) and "__name__" in names_read(statement.test)


def _changed_names(statement: ast.stmt, variables: Collection[str]) -> Iterator[str]:
    """The names whose value a statement changes in place: ``a[0] = 1``, ``f.cache = {}``, ``a.append(1)``.

    Calls count for ``variables`` only: a call of an attribute of a function or module is an example of its use.
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
    """The nodes of a statement, without those inside the functions and classes that it defines."""
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
    """``prompt`` followed by ``program``, as one program.

    A program may begin with ``from __future__ import ...``, which Python accepts at the beginning of a file only.
    Such imports are moved before the prompt.
    """
    future, rest = split_future_imports(program)
    return f"{future}{prompt}{rest}"


def split_future_imports(program: str) -> tuple[str, str]:
    """A program's ``from __future__`` imports, and the program without them. Its other lines keep their numbers."""
    tree = parse_python(program) if "__future__" in program else None
    if tree is None:
        return "", program
    lines = [line.encode() for line in lines_of(program)]
    future = []
    for index, statement in enumerate(tree.body):
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
            index == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        ):
            # Python refuses a later import of this kind in any case.
            break
    return "".join(future), b"".join(lines).decode()


def bound_names(statement: ast.AST) -> Iterator[str]:
    """The names that a statement of a module binds."""
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
    """The names that are read anywhere in the tree."""
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _lines(statement: ast.stmt) -> range:
    """The line numbers of a statement, with its decorators."""
    first = min(node.lineno for node in (statement, *getattr(statement, "decorator_list", ())))
    return range(first, (statement.end_lineno or first) + 1)
