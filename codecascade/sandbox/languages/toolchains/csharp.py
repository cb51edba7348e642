"""C# with mono and its own compiler, which keeps running. A failed ``Debug.Assert`` fails the program."""

from __future__ import annotations

import os
import re

from codecascade.sandbox.languages.ending import halves, in_main
from codecascade.sandbox.languages.language import (
    Language,
    ProgramPlan,
    Toolchain,
    compiler_texts,
    find_tools,
)
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command

_COMPILER = "compiler.exe"


def _find() -> Toolchain | None:
    toolchain = find_tools("mcs", "mono", version=("--version",))
    if toolchain is None:
        return None
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(toolchain.paths["mono"])))
    library = f"{prefix}/lib/mono/4.5"
    if not os.path.isfile(f"{library}/mcs.exe"):
        return None
    return Toolchain(toolchain.version, {**toolchain.paths, "library": library}, (f"{prefix}/lib/mono",))


def _finish(text: str, token: str) -> str | None:
    first, second = halves(token)
    write = f'global::System.Console.Out.Write("\\n{{0}}{{1}}\\n", "{first}", "{second}");'
    line = f"{write} global::System.Console.Out.Flush();"
    return in_main(text, r"\b(?:void|int|Task)\s+Main\s*\(", line)


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    return ProgramPlan("program.cs", (toolchain.paths["mono"], "program.exe"), warm=True)


def _build(toolchain: Toolchain) -> Command:
    library = f"-r:{toolchain.paths['library']}/mcs.exe"
    return Command(
        (toolchain.paths["mcs"], library, f"-out:{_COMPILER}", "Compiler.cs"),
        files=compiler_texts("Compiler.cs"),
        folders=toolchain.folders,
        outputs=(_COMPILER,),
        limits=Limits(cpu_seconds=60, address_space=False),
    )


def _server(toolchain: Toolchain) -> Command:
    return Command(
        (toolchain.paths["mono"], f"{toolchain.built}/{_COMPILER}"),
        environment={"MONO_PATH": toolchain.paths["library"]},
        folders=(*toolchain.folders, toolchain.built),
    )


CSHARP = Language(
    name="csharp",
    title="C#",
    names=("cs", "c#"),
    suffixes=(".cs",),
    install="apt install mono-mcs mono-runtime",
    trial="class Problem { static void Main() {} }",
    find=_find,
    finish=_finish,
    plan=_plan,
    # mono reports a failed assertion to the listener named here, and continues.
    environment=lambda limits: {
        "MONO_TRACE_LISTENER": "Console.Error",
        "MONO_GC_PARAMS": f"max-heap-size={max(32, limits.memory_mb * 3 // 4)}m",
    },
    build=_build,
    server=_server,
    address_space=False,
    error=re.compile(
        r"^\[ERROR\] FATAL UNHANDLED EXCEPTION: (.*)$|at System\.Diagnostics\.(Debug\.Assert)\b", re.MULTILINE
    ),
    # The last pattern: mono has no memory for the exception that it wants to throw.
    memory=re.compile(r"System\.OutOfMemoryException|^Out of memory|Assertion at exception\.c", re.MULTILINE),
    fails=re.compile(r"DefaultTraceListener\.Fail|Unhandled Exception"),
)
