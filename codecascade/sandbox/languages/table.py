"""The table of languages. A new language is one file, and one line here."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from codecascade.ground.errors import UserError
from codecascade.ground.nearest import nearest
from codecascade.sandbox.languages.language import Language, Toolchain
from codecascade.sandbox.languages.toolchains.bash import BASH
from codecascade.sandbox.languages.toolchains.cpp import CPP
from codecascade.sandbox.languages.toolchains.csharp import CSHARP
from codecascade.sandbox.languages.toolchains.go import GO
from codecascade.sandbox.languages.toolchains.java import JAVA
from codecascade.sandbox.languages.toolchains.javascript import JAVASCRIPT
from codecascade.sandbox.languages.toolchains.lua import LUA
from codecascade.sandbox.languages.toolchains.perl import PERL
from codecascade.sandbox.languages.toolchains.php import PHP
from codecascade.sandbox.languages.toolchains.r import R
from codecascade.sandbox.languages.toolchains.ruby import RUBY
from codecascade.sandbox.languages.toolchains.rust import RUST
from codecascade.sandbox.languages.toolchains.typescript import TYPESCRIPT

# Python is built into the sandbox, and has no entry.
LANGUAGES: tuple[Language, ...] = (
    # The languages of the paper (Table 4), and JavaScript.
    *(CPP, JAVA, PHP, TYPESCRIPT, JAVASCRIPT, CSHARP, BASH),
    *(GO, RUST, PERL, R, RUBY, LUA),
)
PYTHON = "python"
_PYTHON_NAMES = ("python", "py", "python3")
_BY_NAME = {name: language for language in LANGUAGES for name in (language.name, *language.names)}


def add_language(language: Language) -> None:
    """Add a language to the table of this process (``examples/add_language.py``).

    Raises:
        UserError: one of its names is already used.
    """
    global LANGUAGES
    names = (language.name, *language.names)
    if taken := [name for name in names if name in (*_BY_NAME, *_PYTHON_NAMES)]:
        raise UserError(f"there is a language {taken[0]!r} already")
    LANGUAGES = (*LANGUAGES, language)
    _BY_NAME.update(dict.fromkeys(names, language))


@dataclass(frozen=True)
class ToolchainReport:
    """Whether programs of a language can run here: ``version`` is None if not, and ``install`` says what to do.

    ``lacks`` says what is missing or wrong, with the package to install if it is a single one.
    """

    language: str
    title: str
    version: str | None
    install: str
    lacks: tuple[str, ...] = ()


def canonical_name(name: str) -> str:
    """The usual name of a language, for any of its names (``cs``, ``C#``).

    Raises:
        UserError: there is no such language.
    """
    lowered = name.lower()
    if lowered in _PYTHON_NAMES:
        return PYTHON
    if lowered not in _BY_NAME:
        known = [PYTHON, *(language.name for language in LANGUAGES)]
        hint = nearest(name, known, f"there are {', '.join(known)}")
        raise UserError(f"there is no language {name!r}; {hint}")
    return _BY_NAME[lowered].name


def language_named(name: str) -> Language:
    """The entry of a language other than Python.

    Raises:
        UserError: there is no such language.
    """
    return _BY_NAME[canonical_name(name)]


def language_of_file(path: Path) -> str:
    """The language of a file by its suffix; a file without a suffix is Python.

    Raises:
        UserError: no language has this suffix.
    """
    if path.suffix in ("", ".py"):
        return PYTHON
    for language in LANGUAGES:
        if path.suffix in language.suffixes:
            return language.name
    raise UserError(f"no language ends its files in {path.suffix!r}; give --language", file=path)


@functools.cache
def toolchain(language: str) -> Toolchain | None:
    """The toolchain of a language (by its usual name) on this machine; looked for once."""
    return _BY_NAME[language].find()


def why_unusable(language: str) -> str | None:
    """Why a language's programs can't run here, and what to install; None if they can."""
    name = canonical_name(language)
    if name == PYTHON or toolchain(name) is not None:
        return None
    row = _BY_NAME[name]
    return f"{row.title} programs can't be run: {row.unusable() or 'the toolchain is missing'}; {row.install}"


def toolchains() -> list[ToolchainReport]:
    """A report for each language, in the order of the table."""
    return [_report(language, toolchain(language.name)) for language in LANGUAGES]


def _report(language: Language, tools: Toolchain | None) -> ToolchainReport:
    version = None if tools is None else tools.version
    wrong = language.unusable() if tools is None else None
    missing = [
        f"{each.name} (apt install {each.package})" for each in language.extras if not each.is_installed()
    ]
    lacks = (*([wrong] if wrong else []), *(missing if tools is not None else []))
    return ToolchainReport(language.name, language.title, version, language.install, lacks)


def versions_of(languages: Iterable[str]) -> dict[str, str]:
    """The versions of the installed toolchains of ``languages`` (by any of their names)."""
    names = dict.fromkeys(map(canonical_name, languages))
    found = {name: toolchain(name) for name in names if name != PYTHON}
    return {name: tools.version for name, tools in found.items() if tools is not None}
