"""Reads single assertions from what a model wrote, and keeps those that test a function and do nothing else."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterator

from codecascade.evaluation.answers.parsing import bounded_work, parse_python
from codecascade.ground.python_source import unparse
from codecascade.instruct.self_instruct.languages.answers import control_characters, without_fences
from codecascade.instruct.self_instruct.languages.form import LONGEST_ASSERTION, MOST_ASSERTIONS
from codecascade.instruct.self_instruct.languages.python_variables import Variables

MODULES = ("math", "collections", "datetime", "decimal", "fractions", "re", "json", "itertools", "string")
"""Modules that an assertion may use; what it imports itself is not looked at."""

_LONGEST_LINES = 30
_LARGEST_POWER = 1_000
_LARGEST_COUNT = 100_000
_COUNTING = {"range", "bytes", "bytearray"}
_LITERALS = (ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.unaryop, ast.expr_context)
_SEQUENCES = (ast.List, ast.Tuple, ast.ListComp)
_BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# Context managers that change nothing for what is in their block.
_PLAIN_CONTEXTS = ("subTest",)
_START = re.compile(r"^[ \t]*(?:[-*•]|\d+[.)])?[ \t]*`?(?=assert\b|self\.assert)")
# Builtins that reach out of a test, stop it, or make its text mean something else than a reader sees.
_FORBIDDEN_NAMES = """
__import__ breakpoint classmethod compile copyright credits delattr dir eval exec exit getattr globals hash help id
input license locals memoryview open print property quit setattr staticmethod super vars
"""
_FORBIDDEN = frozenset(_FORBIDDEN_NAMES.split())
_ALLOWED = {name for name in dir(builtins) if not name.startswith("_")} - _FORBIDDEN
_NODES_NOT_ALLOWED = (
    ast.NamedExpr,
    ast.Await,
    ast.Yield,
    ast.YieldFrom,
    ast.FormattedValue,
    ast.JoinedStr,
    ast.Starred,
)
_UNITTEST: dict[str, Callable[..., ast.expr]] = {
    "assertEqual": lambda a, b: ast.Compare(a, [ast.Eq()], [b]),
    "assertListEqual": lambda a, b: ast.Compare(a, [ast.Eq()], [b]),
    "assertDictEqual": lambda a, b: ast.Compare(a, [ast.Eq()], [b]),
    "assertTrue": lambda a: a,
    "assertFalse": lambda a: ast.UnaryOp(ast.Not(), a),
    "assertIsNone": lambda a: ast.Compare(a, [ast.Is()], [ast.Constant(None)]),
}


def read_assertions(text: str) -> list[str]:
    """The assertions of a text, each on one line, without messages and without duplicates.

    A variable is replaced by the value that it certainly has there. ``self.assertEqual`` and its like become
    assertions. What is not an assertion, or can't stand alone, is left out.
    """
    text = without_fences(text)
    found: dict[str, None] = {}
    with bounded_work():
        tree = parse_python(text)
        statements = (
            _statements(tree.body, Variables(LONGEST_ASSERTION)) if tree is not None else _recovered(text)
        )
        for expression in statements:
            if is_usable(expression):
                line = unparse(ast.Assert(expression, None))
                if line is not None and len(line) <= LONGEST_ASSERTION and not control_characters(line):
                    found[line] = None
            if len(found) >= MOST_ASSERTIONS:
                break
    return list(found)


def is_usable(expression: ast.expr) -> bool:
    """Whether an asserted expression calls a function that isn't Python's, and does nothing else than compare.

    It may not reach out of the test (``open``, ``__class__``), bind names, or compute numbers and texts of a size
    that only wastes memory. A tuple is always true, so that an assertion of one says nothing.
    """
    if isinstance(expression, ast.Tuple) or not _called(expression):
        return False
    bound = {node.arg for node in ast.walk(expression) if isinstance(node, ast.arg)}
    bound |= {
        node.id
        for node in ast.walk(expression)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    called = {node.func.id for node in _calls(expression) if isinstance(node.func, ast.Name)}
    known = bound | called | _ALLOWED | {*MODULES}
    for node in ast.walk(expression):
        if isinstance(node, ast.Name) and (node.id not in known or node.id in _FORBIDDEN or "__" in node.id):
            return False
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            return False
        if isinstance(node, _NODES_NOT_ALLOWED) or _is_huge(node):
            return False
    return True


def called_names(assertion: str) -> tuple[str, ...]:
    """The functions that an assertion calls and that are not Python's, the outermost first."""
    tree = parse_python(assertion)
    if tree is None or not isinstance(tree.body[-1], ast.Assert):
        return ()
    return tuple(_called(tree.body[-1].test))


def expected_values(assertion: str, entry_point: str) -> Iterator[str]:
    """The literals with which an assertion compares what ``entry_point`` returns."""
    tree = parse_python(assertion)
    if tree is None or not isinstance(tree.body[-1], ast.Assert):
        return
    for node in ast.walk(tree.body[-1].test):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq | ast.Is):
            for side, other in ((node.left, node.comparators[0]), (node.comparators[0], node.left)):
                if isinstance(side, ast.Call) and entry_point in _called(side) and _is_literal(other):
                    yield unparse(other) or "None"


def _is_literal(expression: ast.expr) -> bool:
    return all(isinstance(node, _LITERALS) for node in ast.walk(expression))


def _called(expression: ast.expr) -> dict[str, None]:
    bound = {node.arg for node in ast.walk(expression) if isinstance(node, ast.arg)}
    return {
        node.func.id: None
        for node in _calls(expression)
        if isinstance(node.func, ast.Name)
        and node.func.id not in bound
        and not hasattr(builtins, node.func.id)
        and node.func.id not in MODULES
    }


def _calls(expression: ast.expr) -> Iterator[ast.Call]:
    return (node for node in ast.walk(expression) if isinstance(node, ast.Call))


def _is_huge(node: ast.AST) -> bool:
    """Whether an operation could make a number, a text or a list that fills the memory or takes very long."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _COUNTING:
        return any(_number(each, otherwise=_LARGEST_COUNT + 1) > _LARGEST_COUNT for each in node.args)
    if not isinstance(node, ast.BinOp):
        return False
    if isinstance(node.op, ast.Pow | ast.LShift):
        return _number(node.right, otherwise=_LARGEST_POWER + 1) > _LARGEST_POWER or not isinstance(
            node.left, ast.Constant
        )
    if isinstance(node.op, ast.Mult):
        for operand, other in ((node.left, node.right), (node.right, node.left)):
            if any(isinstance(each, _SEQUENCES) or _is_text(each) for each in ast.walk(operand)):
                once = isinstance(operand, _SEQUENCES) or _is_text(operand)
                return not once or _number(other, otherwise=_LARGEST_COUNT + 1) > _LARGEST_COUNT
    return False


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _number(node: ast.expr, *, otherwise: float) -> float:
    """The size of a number that is written out; ``otherwise`` for anything else, except calls and names."""
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return abs(node.value)
    return otherwise if isinstance(node, ast.BinOp | ast.Constant) else 0


def _statements(body: list[ast.stmt], variables: Variables) -> Iterator[ast.expr]:
    """What is asserted in statements, with variables replaced; also inside of functions and classes.

    What is asserted under a condition is left out, for the condition would be lost. So is what is asserted where an
    exception is caught or expected (``try``, ``with pytest.raises(...)``): it may be meant to fail.
    """
    for statement in body:
        if isinstance(statement, ast.Assert):
            yield variables.asserted(statement.test)
        elif isinstance(statement, ast.Expr) and (test := _of_unittest(statement.value)) is not None:
            yield variables.asserted(test)
        elif isinstance(statement, ast.Return | ast.Raise):
            return
        else:
            if isinstance(statement, _BLOCKS) or _is_main(statement) or _is_plain_with(statement):
                yield from _statements(getattr(statement, "body", []), variables.inside(statement))
            variables.follow(statement)


def _is_main(statement: ast.stmt) -> bool:
    """Whether a statement is ``if __name__ == "__main__"``."""
    return isinstance(statement, ast.If) and any(
        isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test)
    )


def _is_plain_with(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.With) and all(
        isinstance(item.context_expr, ast.Call)
        and isinstance(item.context_expr.func, ast.Attribute)
        and item.context_expr.func.attr in _PLAIN_CONTEXTS
        for item in statement.items
    )


def _of_unittest(expression: ast.expr) -> ast.expr | None:
    """``self.assertEqual(a, b)`` as the expression ``a == b``."""
    if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Attribute):
        return None
    made = _UNITTEST.get(expression.func.attr)
    count = 2 if expression.func.attr.endswith("Equal") else 1
    if made is None or len(expression.args) < count:
        return None
    return made(*expression.args[:count])


def _recovered(text: str) -> Iterator[ast.expr]:
    """What is asserted in a text that is not Python as a whole: lines that begin with ``assert``, and those after."""
    # as Python counts lines: other signs that end one may be in a text
    lines = re.split(r"\r\n|[\n\r]", text)
    for number, line in enumerate(lines):
        start = _START.match(line)
        if start is None:
            continue
        first = line[start.end() :].rstrip().rstrip("`")
        for end in range(number + 1, min(len(lines), number + _LONGEST_LINES) + 1):
            tree = parse_python("\n".join([first, *lines[number + 1 : end]]))
            if tree is not None:
                yield from _statements(tree.body, Variables(LONGEST_ASSERTION))
                break
            if end < len(lines) and _START.match(lines[end]):
                break
