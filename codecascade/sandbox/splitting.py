"""Whether tests can run apart from the program that they test, told from their text.

Only trusted text is read: the tests, and a reference program that passes them. What a program does or says has no
part in it, since it would ask for the weaker judging.
"""

from __future__ import annotations

import ast
import builtins
import functools
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

_BINDINGS = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr, ast.For, ast.comprehension)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PLAIN = (int, float, complex, str, bytes, list, tuple, dict, set, frozenset, range, deque)
# Of NumPy's arrays and scalars, decimals and dates: what tests ask of results.
_ATTRIBUTES = {name for kind in _PLAIN for name in dir(kind)} | {
    "tolist",
    "shape",
    "dtype",
    "all",
    "any",
    "item",
}
_ATTRIBUTES -= {name for name in dir(object) if name not in ("__eq__", "__len__")}
# Ways to names that the syntax does not show, and to what a program prints or reads.
_BLIND = {
    "globals",
    "locals",
    "vars",
    "eval",
    "exec",
    "compile",
    "__import__",
    "input",
    "asyncio",
    "unittest",
}
_BLIND |= {"inspect", "redirect_stdout", "redirect_stderr", "threading", "multiprocessing", "mock", "patch"}
# What an object of the program still is when it has crossed.
_KINDS = {kind.__name__ for kind in (*_PLAIN, bool, bytearray, object, type)} | {
    "OrderedDict",
    "Counter",
    "array",
}
_KINDS |= {"Decimal", "Fraction", "date", "datetime", "timedelta", "ndarray"}
_STREAMS = {"stdin", "stdout", "stderr", "modules", "setattr"}


@dataclass(frozen=True)
class SplitDecision:
    """How tests run apart; ``calls`` is empty where they can't.

    Attributes:
        calls: the functions of the program that they call.
        given: trusted text that they need before them.
    """

    calls: tuple[str, ...] = ()
    given: str = ""


TOGETHER = SplitDecision()
"""Tests that run in the program's process."""


@functools.lru_cache(4096)
def split_tests(tests: str, reference: str, entry_point: str | None = None) -> SplitDecision:
    """How ``tests`` of a program like ``reference`` run apart from it.

    Tests can't where more than calls with plain values and their results would have to cross: classes, functions
    that are handed over, attributes of results that no plain value has, what is printed or read.

    Args:
        entry_point: the function that is tested. Others of the reference are helpers that are given to the tests;
            without it, all functions of the reference that the tests name are the program's.
    """
    tree, known = _parsed(tests), _parsed(reference)
    if tree is None or known is None:
        return TOGETHER
    definitions = _definitions(known)
    names = _Names(tree)
    calls, given = set(), set()
    for name in names.free:
        definition = definitions.get(name)
        if name == entry_point:
            calls.add(name)
        elif isinstance(definition, ast.ClassDef):
            return TOGETHER
        elif isinstance(definition, _FUNCTIONS) and entry_point is None:
            calls.add(name)
        elif definition is not None:
            given.add(name)
        elif not hasattr(builtins, name):
            if entry_point is not None or name[:1].isupper():
                return TOGETHER
            calls.add(name)
    definition = definitions.get(entry_point or "")
    if not calls or isinstance(definition, (ast.ClassDef, ast.AsyncFunctionDef)):
        return TOGETHER
    if not names.only_plain(calls):
        return TOGETHER
    return SplitDecision(tuple(sorted(calls)), _needed(known, given, calls))


def _parsed(text: str) -> ast.Module | None:
    with warnings.catch_warnings(action="ignore"):  # of escapes that are none
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


class _Names:
    """The names of tests, and what is done with them."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        nodes = list(ast.walk(tree))
        self.loaded = [
            node for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        ]
        self.functions = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}
        self.imported = {
            (alias.asname or alias.name).partition(".")[0]
            for node in nodes
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        stored = {
            node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        }
        parameters = {node.arg for node in nodes if isinstance(node, ast.arg)}
        caught = {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
        bound = stored | parameters | caught | self.imported | self.functions.keys()
        self.free = {node.id for node in self.loaded} - bound
        self.lambdas = {
            target.id
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def only_plain(self, calls: set[str]) -> bool:
        """Whether nothing but calls with plain values and their results would cross."""
        if self.free & _BLIND or self.imported & _BLIND:
            return False
        stand_ins = calls | self._parameters_that_are(calls)
        results = self._holders_of(stand_ins)
        allowed: set[int] = (
            set()
        )  # the mentions of stand-ins in which they are called, or handed to a test's function
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.ClassDef, ast.AsyncFunctionDef, ast.Await)):
                return False
            if isinstance(node, ast.Attribute) and not self._is_plain(node, stand_ins | results):
                return False
            if not isinstance(node, ast.Call) or isinstance(node.func, ast.Attribute):
                continue
            if not isinstance(node.func, ast.Name) or node.func.id in results - stand_ins:
                return False  # a result is called
            if self._asks_for_a_kind(node, stand_ins, results):
                return False
            allowed.add(id(node.func))
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            if node.func.id in stand_ins:
                if any(self._hands_over_code(argument, stand_ins) for argument in arguments):
                    return False
            elif node.func.id in self.functions or node.func.id in ("map", "callable"):
                allowed.update(map(id, arguments))
        return all(id(node) in allowed for node in self.loaded if node.id in stand_ins)

    def _asks_for_a_kind(self, call: ast.Call, stand_ins: set[str], results: set[str]) -> bool:
        """Whether a test asks whether a result is of a kind that is lost on its way: a function, a generator."""
        asked = call.func.id if isinstance(call.func, ast.Name) else ""
        if asked not in ("callable", "isinstance") or not call.args:
            return False
        of = call.args[0]
        if asked == "callable":
            names = set() if isinstance(of, ast.Name) and of.id in stand_ins else _names_in(of)
            return bool(names & (stand_ins | results))
        return bool(_names_in(of) & (stand_ins | results)) and not _ends_of_names(call.args[1:]) <= _KINDS

    def _is_plain(self, node: ast.Attribute, foreign: set[str]) -> bool:
        """Whether an attribute is one of plain values, or of what has nothing to do with the program."""
        if node.attr in _ATTRIBUTES:
            return True
        return node.attr not in _STREAMS and not _names_in(node.value) & foreign

    def _holders_of(self, names: set[str]) -> set[str]:
        """Variables and parameters that may hold results of ``names``."""
        found = {each.arg for each in ast.walk(self.tree) if isinstance(each, ast.arg)}
        bindings = [node for node in ast.walk(self.tree) if isinstance(node, _BINDINGS)]
        while True:
            before = len(found)
            for node in bindings:
                value = node.iter if isinstance(node, (ast.For, ast.comprehension)) else node.value
                if value is not None and _names_in(value) & (names | found):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    found |= {name for target in targets for name in _names_in(target)}
            if len(found) == before:
                return found

    def _parameters_that_are(self, calls: set[str]) -> set[str]:
        """Parameters of the tests' functions that are handed one of ``calls``."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                function = self.functions.get(node.func.id)
                parameters = function.args.args if function is not None else []
                for argument, parameter in zip(node.args, parameters, strict=False):
                    if isinstance(argument, ast.Name) and argument.id in calls:
                        found.add(parameter.arg)
        return found

    def _hands_over_code(self, argument: ast.expr, stand_ins: set[str]) -> bool:
        called = {id(node.func) for node in ast.walk(argument) if isinstance(node, ast.Call)}
        code = stand_ins | self.functions.keys() | self.lambdas
        for node in ast.walk(argument):
            if isinstance(node, (ast.Lambda, ast.GeneratorExp)):
                return True
            if isinstance(node, ast.Name) and id(node) not in called and node.id in code:
                return True
        return False


def _ends_of_names(trees: list[ast.expr]) -> set[str]:
    """Of ``a.b`` the ``b``, of ``c`` the ``c``."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    ends = {node.attr for node in nodes if isinstance(node, ast.Attribute) and id(node) not in inner}
    return ends | {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in inner}


def _names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    return {name: statement for statement in tree.body for name in _bound(statement)}


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module defines."""
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def _needed(tree: ast.Module, names: set[str], calls: set[str]) -> str:
    """The statements that define ``names``, and what those use; but nothing that is the program's."""
    kept: set[int] = set()
    wanted, seen = list(names), set(names) | calls
    while wanted:
        name = wanted.pop()
        for number, statement in enumerate(tree.body):
            if name in _bound(statement):
                kept.add(number)
                used = _names_in(statement)
                wanted += used - seen
                seen |= used
    return "\n".join(ast.unparse(tree.body[number]) for number in sorted(kept))
