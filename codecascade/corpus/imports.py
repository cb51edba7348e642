"""Which files of its repository a file imports, read from its lines: the text may have a gap, and need not parse.

What is found are files (of the module or package that an import names, and of a module imported from a package).
Names are not followed to where they are defined.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import islice
from posixpath import dirname, join, normpath

SCRIPTS = frozenset({"javascript", "typescript"})
"""Languages whose files import each other."""
_INIT = "__init__.py"
_FROM = re.compile(
    r"^[ \t]{0,100}from[ \t]{1,20}(?P<dots>\.{0,20})(?P<module>[\w.]{0,300})[ \t]{1,20}import\b"
    r"[ \t]{0,20}(?P<names>\([^()]{0,4000}|[^\n;()]{0,4000})",
    re.MULTILINE,
)
_IMPORT = re.compile(r"^[ \t]{0,100}import[ \t]{1,20}(?P<names>[\w., \t]{1,4000})", re.MULTILINE)
_COMMENT = re.compile(r"#[^\n]*")
_SOURCE = re.compile(
    r"""(?:\bfrom|\bimport|\brequire)[ \t]{0,20}\(?[ \t]{0,20}['"](\.{1,2}/[^'"\n]{1,300})['"]"""
)
_ENDINGS = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts")
_MOST = 500
"""Imports of one file that are looked up, at most."""


class RepositoryPaths:
    """The paths of a repository's files, among which imports are looked up."""

    def __init__(self, paths: Collection[str]) -> None:
        self._paths = frozenset(paths)

    def imported(self, text: str, path: str, language: str) -> frozenset[str]:
        """The files that a text imports which stands in the file ``path``; none for a language that is not read."""
        if language == "python":
            found = self._of_python(text, path)
        else:
            sources = (match[1] for match in _SOURCE.finditer(text) if language in SCRIPTS)
            found = (self.script(path, source) for source in islice(sources, _MOST))
        return frozenset(file for file in found if file is not None and file != path)

    def python_module(self, importer: str, parts: Sequence[str], level: int) -> str | None:
        """The file of a module, or of a package; None if it is not of this repository.

        It is looked for from every folder that packages of the repository are imported from: the root, the folders
        that hold a top-level package (``src``), and the importing file's own, as for a script, unless that folder is
        a package (whose ``types.py`` is not what ``import types`` means).

        Args:
            parts: of the module's name, between its points.
            level: the points before the name.
        """
        folder = dirname(importer)
        if level:
            for _ in range(level - 1):
                if not folder:
                    return None
                folder = dirname(folder)
            roots = [folder]
        elif not parts:
            return None
        else:
            roots = [*self._roots_of.get(parts[0], ()), *[folder] * (join(folder, _INIT) not in self._paths)]
        for root in roots:
            base = join(root, *parts)
            # A package comes before a module of its name; and `from . import name` is of a package only.
            for path in (join(base, _INIT), *[f"{base}.py"] * bool(parts)):
                if path in self._paths and path != importer:
                    return path
        return None

    def script(self, importer: str, source: str) -> str | None:
        """The file that a JavaScript or TypeScript file means by a relative ``source``; None if there is none."""
        base = normpath(join(dirname(importer), source))
        stem = base.rpartition(".")[0] if base.endswith((".js", ".mjs", ".cjs", ".jsx")) else base
        candidates = (
            base,
            *(stem + ending for ending in _ENDINGS),
            *(f"{base}/index{ending}" for ending in _ENDINGS),
        )
        return next((path for path in candidates if path in self._paths), None)

    def _of_python(self, text: str, path: str) -> Iterator[str | None]:
        for match in islice(_FROM.finditer(text), _MOST):
            parts = match["module"].split(".") if match["module"] else []
            if "" in parts:
                continue
            level = len(match["dots"])
            yield self.python_module(path, parts, level)
            for name in islice(_names(match["names"].lstrip("(")), _MOST):
                yield self.python_module(path, [*parts, name], level)
        for match in islice(_IMPORT.finditer(text), _MOST):
            for name in _names(match["names"]):
                yield self.python_module(path, name.split("."), 0)

    @cached_property
    def _roots_of(self) -> dict[str, list[str]]:
        """The folders in which an absolute import is looked for, by the first part of its name."""
        packages = {dirname(path) for path in self._paths if path.rpartition("/")[2] == _INIT}
        roots = ["", *sorted({dirname(folder) for folder in packages} - packages - {""})]
        below: dict[str, set[str]] = {root: set() for root in roots}
        for path in self._paths:
            parts = path.removesuffix(".py").split("/")
            for depth, part in enumerate(parts):
                folder = "/".join(parts[:depth])
                if folder in below:
                    below[folder].add(part)
        found: dict[str, list[str]] = {}
        for root in roots:
            for name in below[root]:
                found.setdefault(name, []).append(root)
        return found


def _names(text: str) -> Iterator[str]:
    """The names of an import, without what they are called here (``a as b``)."""
    for each in _COMMENT.sub("", text).split(","):
        if (words := each.split()) and words[0].replace(".", "").isidentifier():
            yield words[0]
