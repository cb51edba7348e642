"""What the statements of a module change besides the names that they bind: tables that are filled, and settings."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from codecascade.evaluation.answers.names import Definition, bound_names, in_module, names_outside, root_name

_Import = ast.Import | ast.ImportFrom
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_WITH_VALUE = ast.Expr | ast.Assign | ast.AnnAssign | ast.Return

_CHANGING = frozenset({"bisect", "heapq", "numpy", "operator", "random"})
"""Modules with functions that change what they are handed (``heapq.heapify(a)``)."""
_TAKING = frozenset({"pop", "popitem", "popleft", "setdefault"})
"""Methods whose result is used, and that change the object all the same."""
_SETTING = frozenset(
    {"getcontext", "seed", "set_int_max_str_digits", "setcontext", "setrecursionlimit", "stack_size"}
)
"""Functions of modules by which a program says how all of it runs."""
_READING = frozenset({"input", "open", "stdin"})
_SHOWING = _READING | {"_exit", "exit", "print", "quit", "stdout"}
"""What examples of a function's use are written with, and what fills a table is not."""
_MOST_FUNCTIONS = 100
_MOST_CALLS = 300
"""In a module with more functions, or more statements that may be calls, calls of its functions count as examples of
their use."""


@dataclass(frozen=True)
class _WholeEffects:
    """What a function does.

    Attributes:
        changes: names of the module.
        changes_parameter: it changes what it is handed.
        shows: it prints, reads, asserts, or uses what is asked for.
    """

    changes: frozenset[str]
    changes_parameter: bool
    shows: bool


@dataclass(frozen=True)
class _Effects(_WholeEffects):
    """What a function does itself, without those that it calls.

    Attributes:
        parameters: the names of its parameters.
        hands: for each call of a function of the module that function, and the names that are handed to it.
        uses: the functions of the module that it names.
    """

    parameters: frozenset[str]
    hands: tuple[tuple[str, frozenset[str]], ...]
    uses: frozenset[str]


class Changes:
    """Finds the names whose values the statements of a module change.

    Args:
        body: the statements of the module.
        wanted: the functions that are asked for. A call of one is an example of its use, and so is a call of a
            function that uses it.
    """

    def __init__(self, body: Sequence[ast.stmt], wanted: Collection[str]) -> None:
        self._body = body
        self._wanted = frozenset(wanted)
        self._effects: dict[str, _Effects] = {}
        self._wholes: dict[str, _WholeEffects] = {}

    def by(self, statement: ast.stmt) -> set[str]:
        """The names whose values a statement changes itself: ``a[0] = 1``, ``f.cache = {}``, ``a.append(1)``.

        Methods count for variables only: a call of an attribute of a function or module is an example of its use.
        """
        return set(_in_place(in_module(statement), self._variables))

    def by_calls(self, statement: ast.stmt) -> set[str]:
        """The names whose values a statement changes by calling functions: ``fill()``, ``heapq.heapify(a)``."""
        if self._is_long:
            return set()
        nodes = list(in_module(statement))
        found = {*self._handed_to_modules(nodes, self._variables), *self._by_functions(nodes)}
        return set() if not found or self._shows(nodes) else found

    def reads(self, statement: ast.stmt) -> bool:
        """Whether a statement reads the input of a script."""
        return bool(_words(in_module(statement)) & _READING)

    def is_setting(self, statement: ast.stmt) -> bool:
        """Whether a statement says how the program runs: ``sys.setrecursionlimit(...)``, ``random.seed(0)``."""
        nodes = list(in_module(statement))
        parts: list[ast.expr] = []
        for node in nodes:
            if isinstance(node, ast.Expr):
                parts.append(node.value)
            elif isinstance(node, ast.Assign):
                parts += [each for each in node.targets if isinstance(each, ast.Attribute)]
        calls = [node.func for part in parts for node in ast.walk(part) if isinstance(node, ast.Call)]
        return any(
            self._module_of(each) and _last_name(each) in _SETTING for each in calls
        ) and not self._shows(nodes)

    # ---- the module

    @cached_property
    def _is_long(self) -> bool:
        plain = sum(not isinstance(each, Definition | _Import) for each in self._body)
        return plain > _MOST_CALLS or len(self._functions) > _MOST_FUNCTIONS

    @cached_property
    def _variables(self) -> frozenset[str]:
        return frozenset(
            name
            for statement in self._body
            if not isinstance(statement, Definition | _Import)
            for name in bound_names(statement)
        )

    @cached_property
    def _functions(self) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
        return {
            node.name: node
            for statement in self._body
            for node in in_module(statement)
            if isinstance(node, _Function)
        }

    @cached_property
    def _modules(self) -> dict[str, str]:
        """The module of each imported name. That of ``*`` is the first module all of whose names are imported."""
        found: dict[str, str] = {}
        for statement in self._body:
            for node in in_module(statement):
                if isinstance(node, _Import):
                    of = node.module or "." if isinstance(node, ast.ImportFrom) else ""
                    for each in node.names:
                        name = each.asname or (each.name if of else each.name.partition(".")[0])
                        found.setdefault(name, (of or each.name).partition(".")[0] or ".")
        return found

    def _module_of(self, function: ast.expr) -> str:
        """The module that a called name or attribute comes from; empty if it is not imported."""
        name = next(root_name(function), "")
        is_known = not name or name in self._variables or name in self._functions or hasattr(builtins, name)
        return self._modules.get(name) or ("" if is_known else self._modules.get("*", ""))

    # ---- calls

    def _handed_to_modules(self, nodes: Iterable[ast.AST], names: Collection[str]) -> Iterator[str]:
        """Those of ``names`` that a function of a module changes (``heapq.heapify(a)``), or ``x = a.pop()``."""
        for node in nodes:
            call = getattr(node, "value", None)
            if not isinstance(node, _WITH_VALUE) or not isinstance(call, ast.Call):
                continue
            if self._module_of(call.func) in _CHANGING:
                yield from _handed(call) & frozenset(names)
            elif isinstance(call.func, ast.Attribute) and call.func.attr in _TAKING:
                yield from (name for name in root_name(call.func) if name in names)

    def _by_functions(self, nodes: Iterable[ast.AST]) -> Iterator[str]:
        """The names that are changed by the functions of the module that statements call."""
        for name, call in self._calls(nodes):
            whole = self._whole(name)
            yield from whole.changes
            if whole.changes_parameter:
                yield from _handed(call) & self._variables

    def _whole(self, name: str) -> _WholeEffects:
        """What a function does, with all that it calls."""
        if name not in self._wholes:
            reached = self._reached(name)
            takers = self._takers(reached)
            changes = set[str]()
            for each in map(self._of, reached):
                changes |= each.changes
                for taker, names in each.hands:
                    if taker in takers:
                        changes |= names - each.parameters
            shows = any(self._of(each).shows for each in reached)
            self._wholes[name] = _WholeEffects(frozenset(changes), name in takers, shows)
        return self._wholes[name]

    def _calls(self, nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.Call]]:
        for node in nodes:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                function = node.value.func
                if isinstance(function, ast.Name) and function.id in self._functions:
                    yield function.id, node.value

    def _takers(self, names: Collection[str]) -> set[str]:
        """Those of some functions that change what they are handed, themselves or by handing it on."""
        found = {name for name in names if self._of(name).changes_parameter}
        while True:
            more = {
                name
                for name in names
                if any(
                    taker in found and handed & self._of(name).parameters
                    for taker, handed in self._of(name).hands
                )
            }
            if more <= found:
                return found
            found |= more

    def _shows(self, nodes: Iterable[ast.AST]) -> bool:
        """Whether statements show the use of what is asked for, or do what only a script does."""
        words = _words(nodes)
        if words & _SHOWING or words & self._wanted:
            return True
        functions = words & self._functions.keys()
        return bool(functions) and (self._is_long or any(self._whole(each).shows for each in functions))

    def _reached(self, name: str) -> set[str]:
        """The functions that a function uses, directly or through others, and itself."""
        found, waiting = {name}, [name]
        while waiting:
            more = self._of(waiting.pop()).uses - found
            found |= more
            waiting += more
        return found

    def _of(self, name: str) -> _Effects:
        if name not in self._effects:
            self._effects[name] = self._effects_of(self._functions[name])
        return self._effects[name]

    def _effects_of(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> _Effects:
        nodes = list(ast.walk(function))
        parameters = frozenset(node.arg for node in nodes if isinstance(node, ast.arg))
        outside = frozenset(names_outside(function)) - parameters
        names = self._variables | parameters
        bound = {
            node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        }
        changed = {*_in_place(nodes, names), *self._handed_to_modules(nodes, names)}
        words = _words(nodes)
        return _Effects(
            changes=frozenset((changed | bound) & outside - {function.name}),
            changes_parameter=bool(changed & parameters),
            shows=bool(words & _SHOWING or words & self._wanted),
            parameters=parameters,
            hands=tuple((each, _handed(call) & (outside | parameters)) for each, call in self._calls(nodes)),
            uses=frozenset(words & self._functions.keys()),
        )


def _in_place(nodes: Iterable[ast.AST], names: Collection[str]) -> Iterator[str]:
    """What assignments to parts of it change; of ``names`` also what is changed by methods."""
    for node in nodes:
        if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield from root_name(node)
        elif (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
        ):
            yield from (name for name in root_name(node.value.func) if name in names)


def _handed(call: ast.Call) -> frozenset[str]:
    """The names that a call is handed, or is handed a part of."""
    values = [*call.args, *(each.value for each in call.keywords)]
    return frozenset(
        name
        for value in values
        for name in root_name(value.value if isinstance(value, ast.Starred) else value)
    )


def _last_name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _words(nodes: Iterable[ast.AST]) -> set[str]:
    """The names and attributes in some nodes, and ``print`` for an assertion."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Assert):
            found.add("print")
    return found
