"""Decides from the text of tests whether they can run apart from the program that they test.

Only trusted text is used: the tests, and a reference program that passes them. The tested program has no influence,
because it would ask for the weaker judging.
"""

from __future__ import annotations

import ast
import builtins
import functools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from codecascade.ground.python_source import parse_module, unparse
from codecascade.sandbox.inside.values.form import TEXTUAL

_BINDINGS = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr, ast.For, ast.comprehension)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PLAIN = (int, float, complex, str, bytes, list, tuple, dict, set, frozenset, range, deque)
# The attributes of NumPy's arrays and scalars, decimals and dates that tests ask results for.
_ATTRIBUTES = {name for kind in _PLAIN for name in dir(kind)} | {
    "tolist",
    "shape",
    "dtype",
    "all",
    "any",
    "item",
}
_ATTRIBUTES -= {name for name in dir(object) if name not in ("__eq__", "__len__")}
# Ways to reach names that the syntax does not show, or what a program prints and reads.
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
# Types that a result still has after it was copied.
_KINDS = {kind.__name__ for kind in (*_PLAIN, bool, bytearray, object, type)} | {
    "OrderedDict",
    "Counter",
    "array",
}
_KINDS |= {"Decimal", "Fraction", "date", "datetime", "time", "timedelta", "timezone", "tzinfo", "ndarray"}
_KINDS |= {"Path", "PurePath", *(name for names in TEXTUAL.values() for name in names)}
_STREAMS = {"stdin", "stdout", "stderr", "modules", "setattr"}


@dataclass(frozen=True)
class SplitDecision:
    """How tests run apart; ``calls`` is empty if they can't.

    Attributes:
        calls: the functions of the program that the tests call.
        given: trusted text that must run before the tests.
    """

    calls: tuple[str, ...] = ()
    given: str = ""


TOGETHER = SplitDecision()
"""The decision for tests that must run in the program's process."""


@functools.lru_cache(4096)
def split_tests(tests: str, reference: str, entry_point: str | None = None) -> SplitDecision:
    """Decide whether and how ``tests`` of a program like ``reference`` can run apart from it.

    They can't if more is exchanged than calls with plain values and their results: classes, functions as arguments,
    attributes of results that no plain value has, printed output or input.

    Args:
        entry_point: the tested function. Other functions of the reference are helpers that are given to the tests.
            None: all functions of the reference that the tests name belong to the program.
    """
    tree, known = parse_module(tests), parse_module(reference)
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
    given_text = _needed(known, given, calls)
    return TOGETHER if given_text is None else SplitDecision(tuple(sorted(calls)), given_text)


class _Names:
    """The names in tests, and how they are used."""

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
        """Whether only calls with plain values and their results are exchanged."""
        if self.free & _BLIND or self.imported & _BLIND:
            return False
        stand_ins = calls | self._parameters_that_are(calls)
        results = self._holders_of(stand_ins)
        # The uses of stand-ins that are allowed: being called, or passed to a function of the tests.
        allowed: set[int] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.ClassDef, ast.AsyncFunctionDef, ast.Await)):
                return False
            if isinstance(node, ast.Attribute) and not self._is_plain(node, stand_ins | results):
                return False
            if not isinstance(node, ast.Call) or isinstance(node.func, ast.Attribute):
                continue
            if not isinstance(node.func, ast.Name) or node.func.id in results - stand_ins:
                # A result is called.
                return False
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
        """Whether a test asks for a type that a copied result has lost: a function, a generator."""
        asked = call.func.id if isinstance(call.func, ast.Name) else ""
        if asked not in ("callable", "isinstance") or not call.args:
            return False
        of = call.args[0]
        if asked == "callable":
            names = set() if isinstance(of, ast.Name) and of.id in stand_ins else _names_in(of)
            return bool(names & (stand_ins | results))
        return bool(_names_in(of) & (stand_ins | results)) and not _ends_of_names(call.args[1:]) <= _KINDS

    def _is_plain(self, node: ast.Attribute, foreign: set[str]) -> bool:
        """Whether an attribute belongs to plain values, or to an object unrelated to the program."""
        if node.attr in _ATTRIBUTES:
            return True
        return node.attr not in _STREAMS and not _names_in(node.value) & foreign

    def _holders_of(self, names: set[str]) -> set[str]:
        """Variables and parameters that may contain results of ``names``."""
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
        """Parameters of the tests' functions that get one of ``calls`` as an argument."""
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
    """The names that a module-level statement defines."""
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


def _needed(tree: ast.Module, names: set[str], calls: set[str]) -> str | None:
    """The statements that define ``names``, and what they use; but nothing that belongs to the program.

    None if they are nested too deeply to be written.
    """
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
    written = [unparse(tree.body[number]) for number in sorted(kept)]
    return None if None in written else "\n".join(map(str, written))
