"""Python programs in answers: which part of a text is Python, what it defines, and what a function of it needs."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from codecascade.evaluation.answers.changes import Changes
from codecascade.evaluation.answers.names import Definition, bound_names, in_module, names_outside, names_read
from codecascade.evaluation.answers.parsing import bounded_work, lines_of, longest_program, parse_python
from codecascade.ground.python_source import unparse

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Import = ast.Import | ast.ImportFrom
_MAY_BE_FUNCTION = (
    ast.Lambda | ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.IfExp | ast.BoolOp | ast.NamedExpr
)
"""Expressions whose value may be a function or a class. Literals, comprehensions and sums have other values."""


def defines(tree: ast.Module, names: Collection[str]) -> bool:
    """Whether a module defines one of the functions or classes, with a body that does something."""
    return any(name in names and not _is_stub(node) for name, node in _definitions(tree.body))


def declares(tree: ast.Module, names: Collection[str]) -> bool:
    """Whether a module defines one of the functions or classes, even if only as a stub."""
    return any(name in names for name, _ in _definitions(tree.body))


def _definitions(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that definitions and assignments bind to functions, with their statements; within ``if``, ``try``
    and ``with`` too.
    """
    # No recursion: each `elif` of a chain is nested in the one before, and there may be thousands.
    waiting = [*body][::-1]
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, Definition):
            yield statement.name, statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(
            statement.value, _MAY_BE_FUNCTION
        ):
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
    return any(isinstance(node, ast.Return | ast.Yield) for each in tree.body for node in in_module(each))


def missing_names(tree: ast.Module) -> set[str]:
    """The names that a program reads and does not bind; empty if it imports ``*``."""
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return set()
    known = _bound_in(tree)
    known |= {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    return names_outside(tree) - known - _BUILTINS


def is_program(tree: ast.Module) -> bool:
    """Whether the program does more than name constants. Sample inputs and outputs may be Python by accident."""
    return any(
        not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant | ast.Name | ast.Tuple))
        for each in tree.body
    )


def sanitized(program: str, entry_point: str) -> str:
    """A program without what ``entry_point`` does not need, such as examples of its use (EvalPlus, sanitize.py).

    Imports stay, and the definitions and assignments that the function needs, directly or through others, with what
    fills or changes them; so do settings of the whole program, such as the limit of recursion. Of a program that was
    cut off, the part that is Python is taken. A text whose first line is not Python is returned unchanged.
    """
    lines = lines_of(program)
    with bounded_work():
        found = longest_program(lines)
    if found is None:
        return program
    body = _without_scripts(found[1].body)
    imports = [each for each in found[1].body if isinstance(each, _Import)]
    changes = Changes(body, {entry_point})
    settings = [each for each in body if changes.is_setting(each)]
    imported = {name for each in imports for name in bound_names(each)}
    needed = {entry_point} | {name for each in settings for name in names_outside(each)} - imported
    return _text_of(lines, [*imports, *settings, *_reached(body, needed, changes)])


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
        body = _without_scripts(found[1].body)
        functions = {each.name for each in body if isinstance(each, Definition)}
        statements = _reached(body, missing, Changes(body, missing & functions))
        missing -= {name for statement in statements for name in bound_names(statement)}
        for statement in statements:
            missing |= names_outside(statement) - _BUILTINS - _bound_in(found[1])
        if text := _text_of(lines, statements):
            parts.append(text if text.endswith("\n") else text + "\n")
    return append_program("".join(reversed(parts)), program)


def _bound_in(tree: ast.Module) -> set[str]:
    return {name for statement in tree.body for name in bound_names(statement)}


def _reached(body: Sequence[ast.stmt], names: Iterable[str], changes: Changes) -> set[ast.stmt]:
    """The statements that bind the names or change their values, and those that these statements need in turn."""
    wanted = set(names)
    made = {statement: {*bound_names(statement), *changes.by(statement)} for statement in body}
    kept = _needed(wanted, made)
    if filled := {each: found for each in body if (found := changes.by_calls(each))}:
        # What is made of a script's input is part of the script, unless the names need it in any case.
        scripts = _made_of_input([each for each in body if each not in kept], made, changes)
        for each in filled.keys() - scripts:
            made[each] |= filled[each]
        kept = _needed(wanted, made)
    return kept


def _needed(wanted: Iterable[str], made: Mapping[ast.stmt, Collection[str]]) -> set[ast.stmt]:
    """The statements that make the names that are wanted, and what these statements use in turn."""
    makers: dict[str, list[ast.stmt]] = {}
    for statement, names in made.items():
        for name in names:
            makers.setdefault(name, []).append(statement)
    kept: set[ast.stmt] = set()
    waiting, seen = list(wanted), set(wanted)
    while waiting:
        for statement in makers.get(waiting.pop(), ()):
            if statement not in kept:
                kept.add(statement)
                used = names_outside(statement)
                waiting += used - seen
                seen |= used
    return kept


def _made_of_input(
    body: Iterable[ast.stmt], made: Mapping[ast.stmt, Collection[str]], changes: Changes
) -> set[ast.stmt]:
    """The statements that read the input of a script, and those that use what such statements make."""
    users: dict[str, list[ast.stmt]] = {}
    for statement in body:
        for name in names_outside(statement):
            users.setdefault(name, []).append(statement)
    found = {each for each in body if changes.reads(each)}
    waiting = list(found)
    while waiting:
        for name in made[waiting.pop()]:
            more = [each for each in users.pop(name, ()) if each not in found]
            found.update(more)
            waiting += more
    return found


def _without_scripts(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The statements but for ``if __name__ == "__main__":``, which a function does not need."""
    return [each for each in body if not (isinstance(each, ast.If) and "__name__" in names_read(each.test))]


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


def _lines(statement: ast.stmt) -> range:
    """The line numbers of a statement, with its decorators."""
    first = min(node.lineno for node in (statement, *getattr(statement, "decorator_list", ())))
    return range(first, (statement.end_lineno or first) + 1)
