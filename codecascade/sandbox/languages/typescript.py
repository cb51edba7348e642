"""TypeScript: ``tsc --target esnext`` kept running, then node. A type error fails the program."""

from __future__ import annotations

import json
import os
import shutil

from codecascade.sandbox.languages import javascript
from codecascade.sandbox.languages.language import Language, Plan, Toolchain, compiler_texts, find_tools
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command

# npm's folders of globally installed packages, Debian's of packaged ones.
_LIBRARIES = (
    "/usr/local/lib/node_modules/typescript",
    "/usr/lib/node_modules/typescript",
    "/usr/share/nodejs/typescript",
)


def _library() -> str | None:
    """The folder of the ``typescript`` package: that of the ``tsc`` in ``PATH``, or a usual one."""
    tsc = shutil.which("tsc")
    beside = [] if tsc is None else [os.path.dirname(os.path.dirname(os.path.realpath(tsc)))]
    for folder in (*beside, *_LIBRARIES):
        if os.path.isfile(f"{folder}/lib/typescript.js"):
            return os.path.realpath(folder)
    return None


def _find() -> Toolchain | None:
    node, library = find_tools("node", version=("--version",)), _library()
    if node is None or library is None:
        return None
    with open(f"{library}/package.json", encoding="utf-8") as file:
        version = f"TypeScript {json.load(file)['version']}, node {node.version}"
    return Toolchain(version, {**node.paths, "typescript": library}, (*node.folders, library))


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> Plan:
    return Plan("program.ts", javascript.run(toolchain.paths["node"], "program.js", limits), warm=True)


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
    install="apt install nodejs npm && npm install -g typescript",
    trial="let x: number = 1;",
    find=_find,
    finish=javascript.finish,
    plan=_plan,
    server=_server,
    address_space=False,
    error=javascript.ERROR,
    memory=javascript.MEMORY,
)
