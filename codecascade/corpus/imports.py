"""Which files of its repository a file imports, read from its lines: the text may have a gap, and need not parse.

What is found are files (of the module or package that an import names, and of a module imported from a package).
Names are not followed to where they are defined.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from posixpath import dirname, join, normpath
from typing import TypeVar

READ_WITH = {"python": "python", "javascript": "script", "typescript": "script"}
"""The languages, and with which others their files are read: those that import each other."""
_INIT = "__init__.py"
_FROM = re.compile(
    r"^[ \t]{0,100}from[ \t]{1,20}(?P<dots>\.{0,20})(?P<module>[\w.]{0,300})[ \t]{1,20}import\b"
    r"[ \t]{0,20}(?P<names>\([^()]{0,4000}|[^\n;()]{0,4000})",
    re.MULTILINE,
)
_IMPORT = re.compile(r"^[ \t]{0,100}import[ \t]{1,20}(?P<names>[\w., \t]{1,4000})", re.MULTILINE)
_COMMENT = re.compile(r"#[^\n]*")
_SOURCE = re.compile(
    r"""(?:\bfrom|\bimport|\brequire)[ \t]{0,20}\(?[ \t]{0,20}['"](\.{1,2}(?:/[^'"\n]{0,300})?)['"]"""
)
_ENDINGS = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts")
_MOST = 500
"""Different imports of one file that are looked up, at most."""
Found = TypeVar("Found")


class RepositoryPaths:
    """The paths of a repository's files, among which imports are looked up."""

    def __init__(self, paths: Collection[str]) -> None:
        self._paths = frozenset(paths)

    def imported(self, text: str, path: str, language: str) -> frozenset[str]:
        """The files that a text imports which stands in the file ``path``; none for a language that is not read."""
        found: Iterable[str | None] = ()
        group = READ_WITH.get(language)
        if group == "python":
            found = (self.python_module(path, parts, level) for parts, level in _first(_python_modules(text)))
        elif group == "script":
            found = (self.script(path, source) for source in _first(m[1] for m in _SOURCE.finditer(text)))
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
            known = self._roots_of.get("/".join(parts[:2]), ())
            roots = [*known, *[folder] * (join(folder, _INIT) not in self._paths)]
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
            *(normpath(join(base, f"index{ending}")) for ending in _ENDINGS),
        )
        return next((path for path in candidates if path in self._paths), None)

    @cached_property
    def _roots_of(self) -> dict[str, list[str]]:
        """The folders in which an absolute import is looked for, by the first one or two parts of its name."""
        packages = {dirname(path) for path in self._paths if path.rpartition("/")[2] == _INIT}
        roots = ["", *sorted({dirname(folder) for folder in packages} - packages - {""})]
        below: dict[str, set[str]] = {root: set() for root in roots}
        for path in self._paths:
            parts = path.removesuffix(".py").split("/")
            for depth in range(len(parts)):
                folder = "/".join(parts[:depth])
                if folder in below:
                    below[folder] |= {parts[depth], "/".join(parts[depth : depth + 2])}
        found: dict[str, list[str]] = {}
        for root in roots:
            for name in below[root]:
                found.setdefault(name, []).append(root)
        return found


def _python_modules(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """The parts of each name that may be one of a module, and the points before it."""
    for match in _FROM.finditer(text):
        parts, level = tuple(match["module"].split(".") if match["module"] else ()), len(match["dots"])
        if "" not in parts:
            yield parts, level
            yield from (((*parts, name), level) for name in _names(match["names"].lstrip("(")))
    for match in _IMPORT.finditer(text):
        yield from ((tuple(name.split(".")), 0) for name in _names(match["names"]))


def _names(text: str) -> Iterator[str]:
    """The names of an import, without what they are called here (``a as b``)."""
    for each in _COMMENT.sub("", text).split(","):
        if (words := each.split()) and all(part.isidentifier() for part in words[0].split(".")):
            yield words[0]


def _first(found: Iterable[Found]) -> Iterator[Found]:
    """The first different ones."""
    seen: set[Found] = set()
    for each in found:
        if each not in seen:
            seen.add(each)
            yield each
            if len(seen) == _MOST:
                return
