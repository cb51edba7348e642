"""TypeScript: ``tsc --target esnext`` kept running, then node. A type error fails the program."""

from __future__ import annotations

import json
import os
import shutil

from codecascade.sandbox.languages.language import (
    Language,
    ProgramPlan,
    Toolchain,
    compiler_texts,
    find_tools,
)
from codecascade.sandbox.languages.toolchains import javascript
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command

# The folder of npm's global packages, and of Debian's.
_LIBRARIES = (
    "/usr/local/lib/node_modules/typescript",
    "/usr/lib/node_modules/typescript",
    "/usr/share/nodejs/typescript",
)


def _packages() -> list[str]:
    """The folders of the ``typescript`` packages: that of the ``tsc`` in ``PATH``, and the usual ones."""
    tsc = shutil.which("tsc")
    beside = [] if tsc is None else [os.path.dirname(os.path.dirname(os.path.realpath(tsc)))]
    return [folder for folder in (*beside, *_LIBRARIES) if os.path.isfile(f"{folder}/package.json")]


def _library() -> str | None:
    """The folder of the first package that can be loaded by node."""
    folders = (folder for folder in _packages() if os.path.isfile(f"{folder}/lib/typescript.js"))
    return next(map(os.path.realpath, folders), None)


def _version(folder: str) -> str:
    try:
        with open(f"{folder}/package.json", encoding="utf-8") as file:
            return f"TypeScript {json.load(file)['version']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "TypeScript of an unknown version"


def _find() -> Toolchain | None:
    node, library = find_tools("node", version=("--version",)), _library()
    if node is None or library is None:
        return None
    version = f"{_version(library)}, node {node.version}"
    return Toolchain(version, {**node.paths, "typescript": library}, (*node.folders, library))


def _unusable() -> str | None:
    if shutil.which("node") is None:
        return None
    found = _packages()
    if not found or _library() is not None:
        return None
    # From version 7 on the compiler is a separate program.
    return (
        f"{_version(found[0])} has no lib/typescript.js, which is called from node: versions before 7 have it"
    )


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    return ProgramPlan(
        "program.ts", javascript.node_command(toolchain.paths["node"], "program.js", limits), warm=True
    )


def _server(toolchain: Toolchain) -> Command:
    command = (
        toolchain.paths["node"],
        "--max-old-space-size=1536",
        "typescript.js",
        toolchain.paths["typescript"],
    )
    return Command(command, files=compiler_texts("typescript.js"), folders=toolchain.folders)


TYPESCRIPT = Language(
    name="typescript",
    title="TypeScript",
    names=("ts",),
    suffixes=(".ts",),
    install="apt install nodejs npm && npm install -g typescript@5",
    trial="let x: number = 1;",
    find=_find,
    unusable=_unusable,
    finish=javascript.finish,
    plan=_plan,
    server=_server,
    address_space=False,
    error=javascript.ERROR,
    memory=javascript.MEMORY,
)
