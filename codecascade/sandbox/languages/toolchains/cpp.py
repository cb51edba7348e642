"""C++17 with g++, as MultiPL-E compiles it; its one large header is precompiled."""

from __future__ import annotations

import re

from codecascade.sandbox.languages.ending import halves, in_main
from codecascade.sandbox.languages.language import Language, ProgramPlan, Toolchain, find_tools
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command

_STANDARD = "-std=c++17"
_HEADER = "bits/stdc++.h"
# Our own header includes it. When the program includes it again, the compiler skips it.
_OURS = "codecascade.h"
_PREFACE = re.compile(
    r"\s+ | //[^\n]* | /\*.*?\*/ | \#[ \t]*include[ \t]*<(?P<header>[\w./+-]+)>", re.VERBOSE | re.DOTALL
)


def header_comes_first(text: str) -> bool:
    """Whether only includes and comments come before the large header; then it may also come before them.

    g++ uses a precompiled header only if it is included first.
    """
    position = 0
    while match := _PREFACE.match(text, position):
        if match["header"] == _HEADER:
            return True
        position = match.end()
    return False


def _finish(text: str, token: str) -> str | None:
    first, second = halves(token)
    # The builtin function needs no header.
    return in_main(text, r"\bmain\s*\(", f'__builtin_printf("\\n%s%s\\n", "{first}", "{second}");')


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    header = ("-I", toolchain.built, "-include", _OURS) if header_comes_first(text) else ()
    command = (toolchain.paths["g++"], _STANDARD, *header, "program.cpp", "-o", "program")
    return ProgramPlan("program.cpp", ("./program",), command, outputs=("program",))


def _build(toolchain: Toolchain) -> Command:
    return Command(
        (toolchain.paths["g++"], _STANDARD, "-x", "c++-header", _OURS, "-o", f"{_OURS}.gch"),
        files={_OURS: f"#include <{_HEADER}>\n"},
        outputs=(f"{_OURS}.gch",),
        limits=Limits(cpu_seconds=60, file_mb=512, scratch_mb=1024),
    )


CPP = Language(
    name="cpp",
    title="C++",
    names=("c++", "cxx"),
    suffixes=(".cpp", ".cc", ".cxx"),
    install="apt install g++",
    trial="int main() {}",
    find=lambda: find_tools("g++", version=("--version",)),
    finish=_finish,
    plan=_plan,
    build=_build,
    error=re.compile(
        r"^[^`\n]*Assertion `.*' failed\.$|^[ \t]*what\(\):.*$|^terminate called.*$", re.MULTILINE
    ),
    memory=re.compile(r"std::bad_alloc"),
)
