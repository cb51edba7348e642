"""Bash; many answers to MultiPL-E's problems use ``bc``."""

from __future__ import annotations

import re
import shutil

from codecascade.sandbox.languages.ending import at_end, halves
from codecascade.sandbox.languages.language import Language, OptionalTool, ProgramPlan, Toolchain, find_tools
from codecascade.sandbox.outcome import Limits


def _finish(text: str, token: str) -> str:
    first, second = halves(token)
    return at_end(text, f"builtin printf '\\n%s%s\\n' {first} {second}")


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    return ProgramPlan("program.sh", (toolchain.paths["bash"], "program.sh"))


BASH = Language(
    name="bash",
    title="Bash",
    names=("sh", "shell"),
    suffixes=(".sh", ".bash"),
    install="apt install bash",
    trial=":",
    find=lambda: find_tools("bash", version=("--version",)),
    extras=(OptionalTool("bc", "bc", lambda: shutil.which("bc") is not None),),
    finish=_finish,
    plan=_plan,
    memory=re.compile(r"cannot allocate"),
)
