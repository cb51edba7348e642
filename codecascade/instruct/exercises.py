"""Exercises from a Python module: self-contained functions, with doctests that prove it.

A function is self-contained if the imports, constants and helpers of its module that it uses can be written above it;
the syntax tree shows which those are. What runs is the very text that a model will learn to answer, on
the function's own doctests, so an answer that does not work never gets into the data.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass

from codecascade.corpus.reading.functions import FunctionNode, SourcePositions
from codecascade.ground.python_source import parse, parse_module, unparse
from codecascade.instruct.docstrings import DoctestExample, docstring_prose, own_examples, summary_of

LONGEST_ANSWER = 2500
SHORTEST_DESCRIPTION = 25
"""Characters."""

_Import = ast.Import | ast.ImportFrom
_FUTURE = "from __future__ import annotations"

# Runs the examples in the module that it is appended to; fails unless all of them that aren't skipped pass.
_CHECK = """

import builtins as _builtins, doctest as _doctest
_flags = _doctest.ELLIPSIS | _doctest.NORMALIZE_WHITESPACE
_examples = [_doctest.Example(source, want, error, options=options) for source, want, error, options in {examples!r}]
_result = _doctest.DocTestRunner(verbose=False, optionflags=_flags).run(
    _doctest.DocTest(_examples, _builtins.globals().copy(), {name!r}, None, 0, None)
)
assert _result.attempted and not _result.failed, f"{{_result.failed}} of {{_result.attempted}} examples fail"
"""


@dataclass(frozen=True)
class Exercise:
    """A function to write, and the answer."""

    name: str
    signature: str
    """``def name(arguments) -> result`` on one line."""
    description: str
    """The docstring's prose, without its sections and examples."""
    answer: str
    """Imports, constants, helpers and the function, whose docstring is cut to its summary."""
    context: str
    """What the examples need of the module besides."""
    examples: tuple[DoctestExample, ...]

    @property
    def program(self) -> str:
        """Runs to its end if the answer passes its examples, at least one of them having run."""
        check = _CHECK.format(examples=[tuple(example) for example in self.examples], name=self.name)
        answer = self.answer.removeprefix(_FUTURE)
        # the import of annotations must stay the first statement
        future = _FUTURE if answer != self.answer else ""
        return f"{future}\n{self.context}\n{answer}\n{check}"

    @property
    def packages(self) -> list[str]:
        """What the answer imports besides the standard library."""
        return sorted(root for root in _imported_packages(parse(self.answer)) if not _is_standard(root))


def exercises_of(text: str) -> list[Exercise]:
    """The exercises in a module's functions with doctests; none if it isn't valid Python."""
    tree = parse_module(text) if ">>> " in text else None
    if tree is None:
        return []
    module = _Module(text, tree)
    exercises = []
    for node in tree.body:
        try:
            exercise = module.exercise(node) if isinstance(node, FunctionNode) else None
        except RecursionError:
            # Its annotations or decorators are nested too deeply to be written.
            continue
        if exercise is not None:
            exercises.append(exercise)
    return exercises


class _Module:
    """A module's top-level statements, found by the names that they bind."""

    def __init__(self, text: str, tree: ast.Module) -> None:
        self.text, self.body, self.positions = text, tree.body, SourcePositions(text)
        self.bound: dict[str, list[ast.stmt]] = {}
        for statement in tree.body:
            for name in _names_bound(statement):
                self.bound.setdefault(name, []).append(statement)

    def exercise(self, node: FunctionNode) -> Exercise | None:
        """What can be made of a function; none if it has no doctests or description, or isn't self-contained."""
        docstring = ast.get_docstring(node)
        if docstring is None or ">>> " not in docstring or len(node.body) < 2:
            return None
        description, summary = docstring_prose(docstring), summary_of(docstring)
        examples = own_examples(docstring, node.name, modules=set(self.bound))
        if len(description) < SHORTEST_DESCRIPTION or not summary or not examples:
            return None
        function = copy(node)
        function.decorator_list = [each for each in node.decorator_list if self.is_python_only(each, node)]
        helpers, names = self.needed(names_used(function), besides=[node])
        answer = "\n\n\n".join(filter(None, [self.source(helpers, names), self.shortened(function, summary)]))
        if _FUTURE in self.text and _is_annotated(node):
            answer = f"{_FUTURE}\n\n{answer}"
        in_examples = {name for example in examples for name in names_used(parse(example.source))}
        context, names = self.needed(in_examples, besides=[node])
        context = [each for each in context if each not in helpers or isinstance(each, _Import)]
        relative = any("." in _imported_packages(statement) for statement in (function, *helpers, *context))
        if relative or len(answer) > LONGEST_ANSWER or "```" in answer or parse_module(answer) is None:
            return None
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
        return Exercise(
            name=node.name,
            signature=f"{kind} {node.name}({ast.unparse(node.args)}){returns}",
            description=description,
            answer=answer + "\n",
            context=self.source(context, names),
            examples=tuple(examples),
        )

    def is_python_only(self, decorator: ast.expr, node: FunctionNode) -> bool:
        """Whether a decorator needs nothing but Python.

        The others (they register, dispatch, deprecate) are left off; the examples tell whether the function is right
        without them.
        """
        statements, _ = self.needed(names_used(decorator), besides=[node])
        return all(_is_standard(root) for statement in statements for root in _imported_packages(statement))

    def needed(self, names: Iterable[str], besides: list[ast.stmt]) -> tuple[list[ast.stmt], set[str]]:
        """The module's statements that bind ``names``, and what those use, in their order; and all the names."""
        waiting, names, found = list(names), set(names), {id(statement) for statement in besides}
        statements = []
        while waiting:
            for statement in self.bound.get(waiting.pop(), ()):
                if id(statement) not in found:
                    found.add(id(statement))
                    statements.append(statement)
                    waiting += names_used(statement) - names
                    names |= names_used(statement)
        return sorted(statements, key=lambda statement: statement.lineno), names

    def source(self, statements: list[ast.stmt], names: set[str]) -> str:
        """Statements as they are written, after their imports; of these only ``names``."""
        imports = [ast.unparse(_import_of(each, names)) for each in statements if isinstance(each, _Import)]
        parts = ["\n".join(imports) + "\n"] if imports else []
        for statement in statements:
            if isinstance(statement, FunctionNode | ast.ClassDef):
                start, end = self.positions.whole_lines(statement)
                parts.append(f"\n\n{self.text[start:end]}\n\n")
            elif not isinstance(statement, _Import):
                start, end = self.positions.span(statement)
                parts.append(self.text[start:end])
        return re.sub("\n{4,}", "\n\n\n", "\n".join(parts)).strip("\n")

    def shortened(self, node: FunctionNode, summary: str) -> str:
        """A function's source with the decorators of the node and its docstring cut to the summary."""
        decorators = "".join(f"@{ast.unparse(decorator)}\n" for decorator in node.decorator_list)
        # a function's span begins at `def`, behind its decorators
        start, end = self.positions.span(node)
        docstring_start, docstring_end = self.positions.span(node.body[0])
        return f'{decorators}{self.text[start:docstring_start]}"""{summary}"""{self.text[docstring_end:end]}'


def _names_bound(statement: ast.stmt) -> set[str]:
    """The names that a top-level statement binds; what is written for type checkers only binds nothing."""
    names: set[str] = set()
    # No recursion: each `elif` of a chain is nested in the one before, and there may be thousands.
    waiting = [statement]
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, _Import):
            names |= {_name_bound_by(alias) for alias in statement.names}
        elif isinstance(statement, FunctionNode | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            nodes = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
            names |= {node.id for node in nodes if not _is_loaded(node)}
        elif not isinstance(statement, ast.If) or "TYPE_CHECKING" not in (unparse(statement.test) or ""):
            waiting += _inner_statements(statement)
    return names


def _inner_statements(statement: ast.stmt) -> Iterator[ast.stmt]:
    if isinstance(statement, ast.If | ast.Try | ast.With):
        for field in ("body", "orelse", "finalbody"):
            yield from getattr(statement, field, ())
        for handler in getattr(statement, "handlers", ()):
            yield from handler.body


def _import_of(statement: _Import, names: set[str]) -> ast.stmt:
    """An import of nothing but ``names``."""
    aliases = [alias for alias in statement.names if _name_bound_by(alias) in names]
    if isinstance(statement, ast.Import):
        return ast.Import(aliases)
    return ast.ImportFrom(statement.module, aliases, statement.level)


def _name_bound_by(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _is_loaded(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Load)


def names_used(tree: ast.AST) -> set[str]:
    """All names that are read anywhere in it."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and _is_loaded(node)}


def _imported_packages(tree: ast.AST) -> set[str]:
    """Top-level names of the packages that are imported anywhere; ``.`` for a module's own package."""
    roots: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add("." if node.level else str(node.module).partition(".")[0])
    return roots


def _is_standard(root: str) -> bool:
    return root in sys.stdlib_module_names


def _is_annotated(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.arg) and node.annotation for node in ast.walk(tree))
