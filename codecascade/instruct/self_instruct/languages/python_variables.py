"""The variables of a test: which values they certainly have where an assertion stands.

An assertion is read alone, so the values of its variables are put into it. That is right only as long as nothing has
changed them in between: another assignment, ``values.append(4)``, a loop, a function that they were handed to, also
in an assertion. A variable that may have changed is forgotten, and an assertion with it can't stand alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from codecascade.ground.python_source import unparse

_Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler
_UNCHANGING = (
    *(ast.Constant, ast.Tuple, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.BoolOp, ast.boolop),
    *(ast.Compare, ast.cmpop, ast.expr_context),
)
_READING_NODES = (ast.Subscript, ast.BinOp, ast.Compare, ast.comprehension)
_DISPLAYS = (ast.List, ast.Set, ast.Dict, ast.Tuple)
# Python's functions that change nothing, and those that change nothing but iterators, which they use up.
_LOOKING_NAMES = "abs bool callable float int isinstance len print repr round str type"
_READING_NAMES = "all any dict enumerate frozenset list map max min reversed set sorted sum tuple zip"
# Those that make a value that nothing changes, of such values; and methods that change nothing.
_MAKING_NAMES = "bool bytes complex float frozenset int len range round str"
_LOOKING_METHODS = frozenset(["copy", "count", "index", "keys", "values", "items"])
_MAKING, _PRINT = frozenset(_MAKING_NAMES.split()), frozenset({"print"})
_LOOKING, _READING = frozenset(_LOOKING_NAMES.split()), frozenset(_READING_NAMES.split())
_Scope = ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Variables:
    """Values by the names of variables.

    Args:
        longest: characters of an expression with its variables replaced, about.
        around: those outside of a class, where these are the ones in its body.
    """

    def __init__(
        self, longest: int, values: dict[str, ast.expr] | None = None, around: Variables | None = None
    ) -> None:
        self._longest, self._values, self._around = longest, {} if values is None else values, around

    def inside(self, statement: ast.stmt) -> Variables:
        """A copy for the body of a function or a block, without what its head binds: parameters, ``with ... as``."""
        bound: set[str] = set()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            bound = _parameters(statement.args)
        elif isinstance(statement, ast.With):
            bound = {name for item in statement.items for name in _stored(item)}
        seen = self._seen_inside()
        values = {name: value for name, value in seen.items() if name not in bound}
        return Variables(self._longest, values, self if isinstance(statement, ast.ClassDef) else None)

    def _seen_inside(self) -> dict[str, ast.expr]:
        """What functions and classes in here see: a class's attributes are no variables in its methods."""
        if self._around is None:
            return self._values
        return {
            name: value
            for name, value in self._around._seen_inside().items()
            if self._values.get(name) is value or _is_unchanging(value)
        }

    def asserted(self, expression: ast.expr) -> ast.expr:
        """:meth:`replaced`; what the expression may change is forgotten behind it."""
        changed = self._changed_by(expression)
        replaced = self.replaced(expression)
        self._forget(changed)
        return replaced

    def replaced(self, expression: ast.expr) -> ast.expr:
        """The expression with values in place; as it is where that would be too long or too deep."""
        length = self._length(expression) + sum(map(self._length, self._values.values()))
        if not self._values or length > self._longest:
            return expression
        replaced: ast.expr = _Replace(self._values).visit(expression)
        return replaced

    def follow(self, statement: ast.stmt) -> None:
        """Note what a statement that asserts nothing does to variables."""
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            self._assign(statement.targets[0], statement.value)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            self._assign(statement.target, statement.value)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._forget([statement.name, *_globals(statement)])
            self._forget_changed(statement)
        elif not self._only_prints(statement):
            self._forget(_stored(statement))
            self._forget(name for name in _mentioned(statement) if self._may_change(name))

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        called = self._changed_by(value)
        if isinstance(target, ast.Name):
            given = self.replaced(value)
            self._forget(called)
            # Other names of the value that it had before keep it.
            self._values.pop(target.id, None)
            self._values[target.id] = given
        else:
            self._forget(_stored(target))
            # `values[0] = 4` stores nothing in a name, and changes what `values` is.
            self._forget(_mentioned(target) | called)

    def _forget_changed(self, statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        """Forget what a function may change of the variables outside of it."""
        own = set() if isinstance(statement, ast.ClassDef) else _parameters(statement.args)
        for each in statement.body:
            self._forget(self._changed_by(each) - own)
            for node in ast.walk(each):
                if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
                    self._forget(_mentioned(node) - own)

    def _changed_by(self, expression: ast.AST) -> set[str]:
        """The names whose values an expression may change: by their methods, or by a call that they are handed to."""
        changed = _with_called_methods(expression)
        for node in ast.walk(expression):
            if isinstance(node, ast.Call) and not _is_call_of(node, _LOOKING):
                changed |= self._handed(node)
            elif isinstance(node, ast.comprehension) and isinstance(node.iter, ast.Name):
                changed |= set() if self._is_flat(node.iter) else {node.iter.id}
        return {name for name in changed if self._may_change(name)}

    def _only_prints(self, statement: ast.stmt) -> bool:
        value = statement.value if isinstance(statement, ast.Expr) else None
        return (
            value is not None
            and _is_call_of(value, _PRINT)
            and not any(map(self._changed_by, ast.iter_child_nodes(value)))
        )

    def _handed(self, call: ast.Call) -> set[str]:
        """The names whose values a call is given, rather than what Python's own functions make of them."""
        names: set[str] = set()
        waiting: list[ast.AST] = [call]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif not _is_call_of(node, _LOOKING):
                given: Iterable[ast.AST] = ast.iter_child_nodes(node)
                if isinstance(node, ast.Call):
                    given = [*node.args, *(keyword.value for keyword in node.keywords)]
                # what is read of a flat value is another value, or one that nothing changes
                read = (
                    isinstance(node, _READING_NODES)
                    or _is_call_of(node, _READING)
                    or _is_looking_method(node)
                )
                waiting += [each for each in given if not (read and self._is_flat(each))]
        return names

    def _is_flat(self, node: ast.AST) -> bool:
        """Whether a name is that of a list or the like that is written out, of values that nothing changes."""
        value = self._values.get(node.id) if isinstance(node, ast.Name) else None
        return isinstance(value, _DISPLAYS) and all(map(_is_unchanging, ast.iter_child_nodes(value)))

    def _may_change(self, name: str) -> bool:
        return name in self._values and not _is_unchanging(self._values[name])

    def _forget(self, names: Iterable[str]) -> None:
        for name in list(names):
            value = self._values.pop(name, None)
            if value is None or _is_unchanging(value):
                continue
            # `other = values` is the same list, `pair = (values, 1)` holds it, and `values = pair[0]` is held.
            parts = {id(node) for node in ast.walk(value) if not isinstance(node, (*_UNCHANGING, ast.Name))}
            for other, its in list(self._values.items()):
                if any(id(node) in parts for node in ast.walk(its)):
                    del self._values[other]

    def _length(self, expression: ast.expr) -> int:
        text = unparse(expression)
        return self._longest + 1 if text is None else len(text)


class _Replace(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]) -> None:
        self.values = values

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name):
            return self.values.get(node.id, node) if isinstance(node.ctx, ast.Load) else node
        return self._in_scope(node) if isinstance(node, _Scope) else self.generic_visit(node)

    def _in_scope(self, node: _Scope) -> ast.AST:
        """A lambda or a comprehension, whose own names are other ones."""
        if not isinstance(node, ast.Lambda):
            # It is evaluated outside.
            node.generators[0].iter = self.visit(node.generators[0].iter)
        own = _stored(node) | _parameters(node)
        inner = _Replace({name: value for name, value in self.values.items() if name not in own})
        return inner.generic_visit(node)


def _is_unchanging(node: ast.AST) -> bool:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.Call) and _is_call_of(each, _MAKING) and not each.keywords:
            waiting += each.args
        elif isinstance(each, _UNCHANGING):
            waiting += ast.iter_child_nodes(each)
        elif not _is_of_math(each):
            return False
    return True


def _is_of_math(node: ast.AST) -> bool:
    """``math.inf``."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "math"


def _is_looking_method(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and (
        isinstance(node.func, ast.Attribute) and node.func.attr in _LOOKING_METHODS
    )


def _is_call_of(node: ast.AST, names: frozenset[str]) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def _parameters(node: ast.AST) -> set[str]:
    """The parameters of the functions in a node."""
    return {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}


def _stored(node: ast.AST) -> set[str]:
    """The names that are bound or deleted somewhere in a node."""
    found: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            found.add(each.id)
        elif isinstance(each, _Named) and each.name:
            found.add(each.name)
        elif isinstance(each, ast.alias):
            found.add((each.asname or each.name).partition(".")[0])
    return found


def _mentioned(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _globals(node: ast.AST) -> set[str]:
    return {
        name for each in ast.walk(node) if isinstance(each, ast.Global | ast.Nonlocal) for name in each.names
    }


def _with_called_methods(node: ast.AST) -> set[str]:
    """The names of which a method is called: ``values.pop()``."""
    return {
        name
        for each in ast.walk(node)
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and not _is_looking_method(each)
        for name in _mentioned(each.func)
    }
