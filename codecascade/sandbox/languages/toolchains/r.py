"""R."""

from __future__ import annotations

import re

from codecascade.sandbox.languages.ending import at_end, halves
from codecascade.sandbox.languages.language import Language, ProgramPlan, Toolchain, find_tools
from codecascade.sandbox.outcome import Limits


def _finish(text: str, token: str) -> str:
    first, second = halves(token)
    return at_end(text, f'base::cat("\\n", "{first}", "{second}", "\\n", sep = "")')


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    return ProgramPlan("program.R", (toolchain.paths["Rscript"], "--vanilla", "program.R"))


R = Language(
    name="r",
    title="R",
    names=(),
    suffixes=(".R", ".r"),
    install="apt install r-base-core",
    trial="",
    find=lambda: find_tools("Rscript", version=("--version",)),
    finish=_finish,
    plan=_plan,
    error=re.compile(r"^Error.*(?:\n  .*)?$", re.MULTILINE),
    memory=re.compile(r"cannot allocate (?:vector|memory)"),
)
