"""The definition of a language: how to find its toolchain, and how to finish, compile and run a program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command


@dataclass(frozen=True)
class Toolchain:
    """A language's toolchain on this machine.

    Attributes:
        version: as its own tool reports it; part of all cache keys.
        paths: its tools, by their usual names.
        folders: folders that the tools read, beyond those that every confined command sees.
        built: the folder with the products of :attr:`Language.build`; "" if the language has none.
    """

    version: str
    paths: Mapping[str, str]
    folders: tuple[str, ...] = ()
    built: str = ""


@dataclass(frozen=True)
class OptionalTool:
    """A tool that programs of a language often use: its name, its Debian package, whether it is installed."""

    name: str
    package: str
    is_installed: Callable[[], bool]


@dataclass(frozen=True)
class ProgramPlan:
    """How one program is built and run; every command is confined, and starts in an empty folder.

    Attributes:
        file: the name of the file with the program's text.
        run: the command that runs the program, in a folder with the compiler's products (or the text, if nothing is
            compiled).
        compile: the compiler's command line; its products are ``outputs``.
        warm: use the language's running compiler instead.
        files: added to the compiler's products when the program runs.
    """

    file: str
    run: tuple[str, ...]
    compile: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    warm: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Language:
    """One entry of the table of languages.

    Attributes:
        name: the usual name, in lower case (``Program.language``).
        title: for people.
        names: other names, including MultiPL-E's codes.
        suffixes: of files; the first is the usual one.
        install: how to install the toolchain.
        trial: a program that does nothing, and passes wherever the toolchain works.
        find: the toolchain, or None if something is missing.
        unusable: if ``find`` gives None although a part is installed: what is wrong with it, in a sentence.
        extras: optional tools; programs that use a missing one fail.
        finish: ``(text, token) -> text`` with a line after the last test that prints the token in two pieces, on a
            line of its own, to standard output or error; None if there is no place for it (then the exit status alone
            decides).
        plan: ``(text, toolchain, limits) -> ProgramPlan``.
        environment: of its commands, given the limits.
        build: a command to run once for a toolchain; its outputs are kept in the cache.
        server: the command of the running compiler (:mod:`codecascade.sandbox.languages.warm`).
        address_space: whether to limit reserved memory, too (not for runtimes that reserve gigabytes).
        error: finds the line of standard error or output that says what went wrong; the last match counts.
        memory: a text that shows that a program got no memory.
        fails: a text in standard error that means failure whatever the exit status.
        compiler_limits: limits of the compiler for one program.
    """

    name: str
    title: str
    names: tuple[str, ...]
    suffixes: tuple[str, ...]
    install: str
    trial: str
    find: Callable[[], Toolchain | None]
    finish: Callable[[str, str], str | None]
    plan: Callable[[str, Toolchain, Limits], ProgramPlan]
    environment: Callable[[Limits], Mapping[str, str]] = lambda limits: {}
    unusable: Callable[[], str | None] = lambda: None
    extras: tuple[OptionalTool, ...] = ()
    build: Callable[[Toolchain], Command] | None = None
    server: Callable[[Toolchain], Command] | None = None
    address_space: bool = True
    error: re.Pattern[str] | None = None
    memory: re.Pattern[str] | None = None
    fails: re.Pattern[str] | None = None
    compiler_limits: Limits = field(
        default_factory=lambda: Limits(cpu_seconds=30, memory_mb=2048, processes=256)
    )


def find_tools(*names: str, version: tuple[str, ...]) -> Toolchain | None:
    """The tools of these names in ``PATH``; ``version`` has the arguments that make the first one print its
    version."""
    paths = {name: shutil.which(name) for name in names}
    found = {name: path for name, path in paths.items() if path is not None}
    if len(found) < len(names):
        return None
    version_line = first_output_line((found[names[0]], *version))
    return None if version_line is None else Toolchain(version_line, found, _folders_of(found.values()))


def _folders_of(paths: Iterable[str]) -> tuple[str, ...]:
    """Folders of tools outside of the system's: ``PREFIX/bin/tool`` needs ``PREFIX``, for links and their targets."""
    prefixes = [
        os.path.dirname(os.path.dirname(location))
        for path in paths
        for location in (path, os.path.realpath(path))
    ]
    return tuple(
        dict.fromkeys(folder for folder in prefixes if folder not in ("", "/", "/usr", "/usr/local"))
    )


def first_output_line(command: tuple[str, ...]) -> str | None:
    """The first line that a tool of this machine prints; None if it can't be run."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None


def compiler_texts(*patterns: str) -> dict[str, str]:
    """Our own sources for a language's toolchain: the files in ``compilers/`` that match, by their paths in it."""
    folder = Path(__file__).with_name("compilers")
    found = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in found}
