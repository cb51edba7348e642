"""JavaScript and TypeScript: resolves relative imports of other files, and finds where the names are used.

Files are read by patterns and not by a grammar, after comments and strings were blanked out: the forms of ``import``,
``export`` and ``require`` that begin a line. What is written otherwise is not found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from codecascade.corpus.imports import RepositoryPaths
from codecascade.evaluation.benchmarks.repository.script_names import NAME as _NAME
from codecascade.evaluation.benchmarks.repository.script_names import ScriptNames
from codecascade.evaluation.benchmarks.repository.uses import (
    LONGEST_PART,
    Definition,
    FileUses,
    Use,
    first_lines,
)

_MEMBER = re.compile(rf"\.(?P<name>{_NAME})")
_SKIPPED = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?|`(?:\\.|[^`\\])*`?", re.DOTALL
)
_IMPORT = re.compile(
    r"^[ \t]*(?:import[ \t]+(?:type[ \t]+)?(?P<what>[^;'\"`]{1,1000}?)\bfrom\s{0,100}"
    rf"|(?:const|let|var)[ \t]+(?P<required>\{{[^}}=]{{0,1000}}\}}|{_NAME})"
    r"\s{0,100}=\s{0,100}require\s{0,9}\(\s{0,100})"
    r"(?P<quote>['\"])(?P<source>\.{1,2}/[^'\"\n]*)(?P=quote)[ \t]*\)?[ \t]*;?",
    re.MULTILINE,
)
_PASSED_ON = re.compile(
    r"^[ \t]*export\s+(?:type\s+)?(?:\{(?P<names>[^}]{0,2000})\}|\*)\s{0,100}from\s{0,100}"
    r"(?P<quote>['\"])(?P<source>\.{1,2}/[^'\"\n]*)(?P=quote)",
    re.MULTILINE,
)
_DEFINED = re.compile(
    r"^(?:export[ \t]+)?(?P<default>default[ \t]+)?(?:declare[ \t]+)?(?:abstract[ \t]+)?(?:async[ \t]+)?"
    rf"(?:function\b[ \t]*\*?|class|interface|type|enum|const|let|var)[ \t]*(?P<name>{_NAME})?",
    re.MULTILINE,
)
_EXPORTED_LIST = re.compile(r"^export\s*\{(?P<names>[^}]{0,2000})\}[ \t\r]*(?:;[ \t\r]*)?$", re.MULTILINE)
_DEFAULT_NAME = re.compile(rf"^export\s+default\s+(?P<name>{_NAME})[ \t\r]*(?:;[ \t\r]*)?$", re.MULTILINE)
_LINE = re.compile(r"[^\r\n]*")
_GO_ON = ("=", "|", "&", ",", "?", ":", "=>", "extends")
_NEXT = re.compile(r"\s*[|&]")
_DEFAULT, _EVERYTHING = "default", "*"
_MOST_STEPS = 8
_MOST_IMPORTS = 500
"""Of one file. For each of them the file is searched."""


@dataclass(frozen=True)
class _Import:
    bound: str
    name: str
    source: str
    end: int


class _Script:
    """A file, its text without comments and strings, and what its top level defines."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        # Every character keeps its place, and every line break.
        self.code = _SKIPPED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
        self.names = ScriptNames(self.code)

    @cached_property
    def definitions(self) -> dict[str, int]:
        """Where the definition of each name begins. ``default`` is one of them."""
        found: dict[str, int] = {}
        for match in _DEFINED.finditer(self.code):
            if match["name"]:
                found.setdefault(match["name"], match.start())
            if match["default"]:
                found.setdefault(_DEFAULT, match.start())
        for match in _EXPORTED_LIST.finditer(self.code):
            for name, bound in _pairs(match["names"]):
                if name in found:
                    found.setdefault(bound, found[name])
        for match in _DEFAULT_NAME.finditer(self.code):
            if match["name"] in found:
                found.setdefault(_DEFAULT, found[match["name"]])
        return found

    def definition(self, name: str) -> Definition | None:
        start = self.definitions.get(name)
        if start is None:
            return None
        return Definition(self.path, name, first_lines(self.text[start : self._end(start)]))

    def _end(self, start: int) -> int:
        """The end of the line at which a definition ends, or of the last one that is shown.

        All brackets are closed there, and the line does not end in what goes on (``type Answer =``).
        """
        depth, end = 0, start
        for _ in range(LONGEST_PART):
            line = _LINE.match(self.code, end)
            assert line is not None
            depth += sum(letter in "([{" for letter in line[0]) - sum(letter in ")]}" for letter in line[0])
            end = line.end()
            after = _NEXT.match(self.code, end)
            if depth <= 0 and not line[0].rstrip().endswith(_GO_ON) and after is None:
                break
            end = min(len(self.code), end + 1)
        return end

    @cached_property
    def imports(self) -> list[_Import]:
        found = []
        for match in _IMPORT.finditer(self.text):
            # An import in a comment is none.
            if not self.code[match.start() : match.end()].strip():
                continue
            what = (match["what"] or match["required"]).strip()
            for name, bound in _imported(what, required=match["required"] is not None):
                found.append(_Import(bound, name, match["source"], match.end()))
        return found


class ScriptRepository:
    """The JavaScript and TypeScript files of a repository, by path; see :class:`.uses.RepositoryReader`."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files, self._paths = files, RepositoryPaths(files)
        self._scripts: dict[str, _Script] = {}

    def uses(self, path: str) -> FileUses:
        script = self._script(path)
        imported: dict[tuple[str, str], Definition] = {}
        uses: dict[tuple[str, str], Use] = {}
        bound = Counter(each.bound for each in script.imports)
        for each in script.imports[:_MOST_IMPORTS]:
            source = self._paths.script(path, each.source)
            if source is None or source == path or bound[each.bound] > 1:
                continue
            if each.name != _EVERYTHING:
                found = self._defined(source, each.name)
                if found is not None and found.path != path:
                    imported.setdefault((found.path, found.name), found)
                    use = _first(script, each, found)
                    if use is not None:
                        uses.setdefault((found.path, found.name), use)
                continue
            if _is_bound_again(script, each):
                continue
            for place in script.names.places(each.bound, each.end):
                match = _MEMBER.match(script.code, place + len(each.bound))
                found = None if match is None else self._defined(source, match["name"])
                if match is None or found is None or found.path == path:
                    continue
                if (found.path, found.name) not in uses:
                    use = _use(script, match.start("name"), match["name"], found)
                    if use is not None:
                        uses[found.path, found.name] = use
        return FileUses(tuple(sorted(uses.values(), key=lambda use: use.start)), tuple(imported.values()))

    def _defined(self, path: str, name: str) -> Definition | None:
        """The definition of an exported name, which the file may pass on from another."""
        waiting, seen = [(path, name)], set[tuple[str, str]]()
        while waiting and len(seen) < _MOST_STEPS:
            here = waiting.pop(0)
            if here in seen:
                continue
            seen.add(here)
            script = self._script(here[0])
            if (found := script.definition(here[1])) is not None:
                return found
            for match in _PASSED_ON.finditer(script.text):
                source = self._paths.script(here[0], match["source"])
                names = {bound: name for name, bound in _pairs(match["names"])} if match["names"] else None
                if source is not None and (names is None or here[1] in names):
                    waiting.append((source, here[1] if names is None else names[here[1]]))
        return None

    def _script(self, path: str) -> _Script:
        if path not in self._scripts:
            self._scripts[path] = _Script(path, self._files[path])
        return self._scripts[path]


def _use(script: _Script, start: int, name: str, found: Definition) -> Use | None:
    line = _LINE.match(script.text, start)
    assert line is not None
    code = line[0].rstrip()
    # A comment can't be guessed. Behind it the blanked code is shorter than the line.
    blanked = script.code[start : start + len(code)].rstrip()
    has_comment = "//" in code[len(blanked) :] or "/*" in code[len(blanked) :]
    return None if has_comment else Use(start, start + len(code), name, found)


def _first(script: _Script, each: _Import, found: Definition) -> Use | None:
    """The first use of an imported name; None if the name may mean something else in a place."""
    if _is_bound_again(script, each):
        return None
    names = script.names
    for place in names.places(each.bound, each.end):
        if not names.is_listed(place) and not names.is_key(place, each.bound):
            return _use(script, place, each.bound, found)
    return None


def _is_bound_again(script: _Script, each: _Import) -> bool:
    return any(
        script.names.is_bound(place, each.bound) for place in script.names.places(each.bound, each.end)
    )


def _imported(what: str, *, required: bool) -> Iterator[tuple[str, str]]:
    """``(name in the other file, name here)`` of what stands between ``import`` and ``from``."""
    braces = re.search(r"\{([^}]*)\}", what)
    if braces is not None:
        yield from _pairs(braces[1], " as " if not required else ":")
        what = what[: braces.start()] + what[braces.end() :]
    for part in filter(None, map(str.strip, what.split(","))):
        star = re.fullmatch(rf"\*\s*as\s+({_NAME})", part)
        if star is not None:
            yield _EVERYTHING, star[1]
        elif re.fullmatch(_NAME, part):
            yield (_EVERYTHING if required else _DEFAULT), part


def _pairs(names: str, renames: str = " as ") -> Iterator[tuple[str, str]]:
    for part in names.split(","):
        name, _, bound = " ".join(part.removeprefix("type ").split()).partition(renames)
        name, bound = (
            name.strip().removeprefix("type "),
            (bound.strip() or name.strip()).removeprefix("type "),
        )
        if re.fullmatch(_NAME, name) and re.fullmatch(_NAME, bound):
            yield name, bound
