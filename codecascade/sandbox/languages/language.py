"""What a language is: how its toolchain is found, how a program is finished, compiled and run."""

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
    """What was found of a language on this machine.

    Attributes:
        version: as its own tool says it; part of the key of everything that is kept.
        paths: its tools, by their usual names.
        folders: what they read outside the folders that a confined command sees anyway.
        built: the folder of what :attr:`Language.build` made; empty where the language has none.
    """

    version: str
    paths: Mapping[str, str]
    folders: tuple[str, ...] = ()
    built: str = ""


@dataclass(frozen=True)
class OptionalTool:
    """What programs of a language often call beside its toolchain: its name, Debian's package, whether it is here."""

    name: str
    package: str
    is_installed: Callable[[], bool]


@dataclass(frozen=True)
class ProgramPlan:
    """How one program is built and run; every command is confined and starts in an empty folder.

    Attributes:
        file: what the program's text is called.
        run: the command that runs it, among the compiler's products (or the text itself, where nothing is compiled).
        compile: the compiler's command line; its products are ``outputs``.
        warm: the text goes through the language's compiler that stays, instead.
        files: put beside the compiler's products when the program runs.
    """

    file: str
    run: tuple[str, ...]
    compile: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    warm: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Language:
    """One row of the table.

    Attributes:
        name: the ordinary name, in lower case (``Program.language``).
        title: for people.
        names: further names, MultiPL-E's code among them.
        suffixes: of files; the first is the usual one.
        install: what a machine without the toolchain is to install.
        trial: a program that does nothing, and passes wherever the toolchain works.
        find: the toolchain, or None where something is missing.
        unusable: where ``find`` gives None although a part is there: what is wrong with it, in a sentence.
        extras: without which programs run, and those that call one fail.
        finish: ``(text, token) -> text`` with a line after the last test that prints the token in two pieces, on a
            line of its own, to standard output or error; None where there is no place for one (then the exit
            status alone decides).
        plan: ``(text, toolchain, limits) -> Plan``.
        environment: of its commands, given the limits.
        build: made once for a toolchain and kept in the cache: a command whose outputs are the products.
        server: the command of the compiler that stays (:mod:`codecascade.sandbox.languages.warm`).
        address_space: whether limiting the reserved memory is sound (not for runtimes that reserve gigabytes).
        error: finds the line of standard error (or output) that says what went wrong: its last match counts.
        memory: text of a program that was refused memory.
        fails: text in standard error that is a failure whatever the exit status.
        compiler_limits: what the compiler may use for one program.
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
    """The tools by these names in ``PATH``; ``version`` are the arguments that make the first say its version."""
    paths = {name: shutil.which(name) for name in names}
    found = {name: path for name, path in paths.items() if path is not None}
    if len(found) < len(names):
        return None
    version_line = first_line((found[names[0]], *version))
    return None if version_line is None else Toolchain(version_line, found, _folders_of(found.values()))


def _folders_of(paths: Iterable[str]) -> tuple[str, ...]:
    """Where tools lie that are not the system's: ``PREFIX/bin/tool`` needs ``PREFIX``, link and target alike."""
    prefixes = [
        os.path.dirname(os.path.dirname(location))
        for path in paths
        for location in (path, os.path.realpath(path))
    ]
    return tuple(
        dict.fromkeys(folder for folder in prefixes if folder not in ("", "/", "/usr", "/usr/local"))
    )


def first_line(command: tuple[str, ...]) -> str | None:
    """The first line that a tool of this machine prints; None where it can't be run."""
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
