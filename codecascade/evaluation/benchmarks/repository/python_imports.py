"""Python: resolves imports of other files of the repository, by the syntax tree, and finds where they are used.

Names that a package only passes on (``from .core import Engine`` in its ``__init__.py``) are followed to the file
that defines them.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from codecascade.corpus.imports import RepositoryPaths
from codecascade.corpus.reading.functions import Definition as DefinitionNode
from codecascade.corpus.reading.functions import FunctionNode, SourcePositions
from codecascade.evaluation.benchmarks.repository.uses import (
    LONGEST_PART,
    Definition,
    FileUses,
    Use,
    first_lines,
)
from codecascade.ground.python_source import parse_module

_LINE = re.compile(r"[^\r\n]*")
_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_MOST_IMPORTS = 500
"""Of one file, at most."""
_MOST_STEPS = 8
"""How often a name that is passed on is followed."""


@dataclass(frozen=True)
class _Import:
    """A name that an import binds: of a name in a module's file, or (``target`` is None) of the module itself."""

    bound: str
    path: str
    target: str | None
    end: tuple[int, int]


class _Module:
    """A parsed file, and what its top level defines."""

    def __init__(self, path: str, text: str, tree: ast.Module) -> None:
        self.path, self.text, self.tree = path, text, tree
        self.positions = SourcePositions(text)
        self.nodes: dict[str, ast.stmt] = {}
        for statement in _top_level(tree.body):
            for name in _names_defined(statement):
                self.nodes.setdefault(name, statement)

    def definition(self, name: str) -> Definition | None:
        node = self.nodes.get(name)
        if node is None:
            return None
        return Definition(self.path, name, self._shown(node))

    def _shown(self, node: ast.stmt) -> str:
        start, end = self._lines(node)
        whole = self.text[start:end].rstrip() + "\n"
        if not isinstance(node, ast.ClassDef) or whole.count("\n") <= LONGEST_PART:
            return first_lines(whole)
        # The outline of a class: the bodies of its methods are left out.
        kept, at = [], start
        for method in node.body:
            if isinstance(method, FunctionNode) and method.body[0].lineno > method.lineno:
                kept.append(self.text[at : self.positions.line_starts[method.body[0].lineno - 1]])
                at = self._lines(method)[1]
        kept.append(self.text[at:end])
        return first_lines("\n".join(line for line in "".join(kept).splitlines() if line.strip()))

    def _lines(self, node: ast.stmt) -> tuple[int, int]:
        if isinstance(node, DefinitionNode):
            return self.positions.whole_lines(node)[0], self._line_end(node)
        return self.positions.line_starts[node.lineno - 1], self._line_end(node)

    def _line_end(self, node: ast.stmt) -> int:
        end = self.positions.span(node)[1]
        newline = self.text.find("\n", end)
        return len(self.text) if newline < 0 else newline + 1


class PythonRepository:
    """The Python files of a repository, by path; see :class:`.uses.RepositoryReader`."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._modules: dict[str, _Module | None] = {}
        self._paths = RepositoryPaths(files)

    def uses(self, path: str) -> FileUses:
        module = self._module(path)
        if module is None:
            return FileUses()
        imports = list(islice(self._imports(module), _MOST_IMPORTS))
        bound = Counter(_bindings(module.tree))
        known = {each.bound: each for each in imports if bound[each.bound] == 1}
        imported = {
            (found.path, found.name): found
            for each in imports
            if each.target is not None and (found := self._defined(each.path, each.target)) is not None
        }
        uses: dict[tuple[str, str], Use] = {}
        longest = max((name.count(".") + 1 for name in known), default=0)
        for node in sorted(_loaded(module.tree), key=lambda node: (node.lineno, node.col_offset)):
            use = self._use(module, node, known, longest)
            if use is not None and use.definition.path != path:
                uses.setdefault((use.definition.path, use.definition.name), use)
        others = (found for found in imported.values() if found.path != path)
        return FileUses(tuple(sorted(uses.values(), key=lambda use: use.start)), tuple(others))

    def _use(
        self, module: _Module, node: ast.Name | ast.Attribute, known: Mapping[str, _Import], longest: int
    ) -> Use | None:
        """The use of an imported name, or of a name of an imported module (which begins behind the point).

        Args:
            longest: names with points between them that an import binds, at most.
        """
        base = node if isinstance(node, ast.Name) else node.value
        names = _dotted(base, longest)
        found = None if names is None else known.get(names)
        if found is None or (node.lineno, node.col_offset) <= found.end:
            return None
        start, end = module.positions.span(node)
        if isinstance(node, ast.Attribute):
            name = node.attr
            definition = None if found.target is not None else self._defined(found.path, name)
            start = end - len(name)
        else:
            name = node.id
            definition = None if found.target is None else self._defined(found.path, found.target)
        if definition is None or module.text[start:end] != name:
            return None
        line = _LINE.match(module.text, start)
        assert line is not None
        code = line[0].rstrip()
        # A comment can't be guessed. In a string, the sign begins none.
        return None if "#" in _STRING.sub("", code) else Use(start, start + len(code), name, definition)

    # ---- imports

    def _imports(self, module: _Module) -> Iterator[_Import]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    path = self._paths.python_module(module.path, alias.name.split("."), 0)
                    if path is not None:
                        yield _Import(alias.asname or alias.name, path, None, _end(node))
            elif isinstance(node, ast.ImportFrom):
                parts = (node.module or "").split(".") if node.module else []
                for alias in node.names:
                    bound = alias.asname or alias.name
                    inner = self._paths.python_module(module.path, [*parts, alias.name], node.level)
                    own = self._paths.python_module(module.path, parts, node.level)
                    if own is not None and self._defined(own, alias.name) is not None:
                        yield _Import(bound, own, alias.name, _end(node))
                    elif inner is not None:
                        yield _Import(bound, inner, None, _end(node))

    def _defined(self, path: str, name: str) -> Definition | None:
        """The definition of a name of a file, which may have imported it from another."""
        seen: set[tuple[str, str]] = set()
        while len(seen) < _MOST_STEPS and (path, name) not in seen:
            seen.add((path, name))
            module = self._module(path)
            if module is None:
                return None
            if (found := module.definition(name)) is not None:
                return found
            source = self._passed_on(module, name)
            if source is None:
                return None
            path, name = source
        return None

    def _passed_on(self, module: _Module, name: str) -> tuple[str, str] | None:
        for node in _top_level(module.tree.body):
            if not isinstance(node, ast.ImportFrom):
                continue
            parts = node.module.split(".") if node.module else []
            for alias in node.names:
                everything = alias.name == "*" and not name.startswith("_")
                if not everything and name != (alias.asname or alias.name):
                    continue
                path = self._paths.python_module(module.path, parts, node.level)
                target = None if path is None else self._module(path)
                if path is None or (everything and (target is None or name not in target.nodes)):
                    continue
                return path, name if everything else alias.name
        return None

    def _module(self, path: str) -> _Module | None:
        if path not in self._modules:
            text = self._files.get(path)
            tree = None if text is None else parse_module(text)
            self._modules[path] = None if tree is None or text is None else _Module(path, text, tree)
        return self._modules[path]


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, also those under ``if`` and ``try``."""
    waiting = list(reversed(body))
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If | ast.Try):
            inner = [*node.body, *node.orelse, *getattr(node, "finalbody", ())]
            for handler in getattr(node, "handlers", ()):
                inner += handler.body
            waiting += reversed(inner)


def _names_defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, DefinitionNode):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name):
                yield target.id
            elif isinstance(target, ast.Tuple):
                yield from (each.id for each in target.elts if isinstance(each, ast.Name))
    elif type(node).__name__ == "TypeAlias":
        yield from (each.id for each in [getattr(node, "name", None)] if isinstance(each, ast.Name))


def _bindings(tree: ast.Module) -> Iterator[str]:
    """Every binding of a name anywhere in a file. A name that is bound twice may mean something else in a place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, DefinitionNode):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name


def _loaded(tree: ast.Module) -> Iterator[ast.Name | ast.Attribute]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node


def _dotted(node: ast.expr, longest: int) -> str | None:
    """``a.b`` of an expression that is nothing but names, ``longest`` at most."""
    names: list[str] = []
    while isinstance(node, ast.Attribute) and len(names) < longest:
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else None


def _end(node: ast.stmt) -> tuple[int, int]:
    return node.end_lineno or node.lineno, node.end_col_offset or 0
