"""JavaScript with node."""

from __future__ import annotations

import re

from codecascade.sandbox.languages.ending import at_end, halves
from codecascade.sandbox.languages.language import Language, ProgramPlan, Toolchain, find_tools
from codecascade.sandbox.outcome import Limits

ERROR = re.compile(
    r"^(?:Uncaught )?((?:[\w$.]*(?:Error|Exception))\b.*)$|^(.*)\n\(Use `node --trace-uncaught", re.MULTILINE
)
MEMORY = re.compile(r"JavaScript heap out of memory|Array buffer allocation failed")


def finish(text: str, token: str) -> str:
    """A last line that writes the token, even if the program redefines ``process`` or ``console``."""
    first, second = halves(token)
    return at_end(text, f'globalThis["process"].stdout.write("\\n{first}" + "{second}\\n");')


def node_command(node: str, file: str, limits: Limits) -> tuple[str, ...]:
    """node's command line; its heap limit is below the memory limit, so that node itself reports a full heap."""
    return (node, f"--max-old-space-size={max(16, limits.memory_mb * 3 // 4)}", file)


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    return ProgramPlan("program.js", node_command(toolchain.paths["node"], "program.js", limits))


JAVASCRIPT = Language(
    name="javascript",
    title="JavaScript",
    names=("js", "node"),
    suffixes=(".js", ".cjs"),
    install="apt install nodejs",
    trial="",
    find=lambda: find_tools("node", version=("--version",)),
    finish=finish,
    plan=_plan,
    address_space=False,
    error=ERROR,
    memory=MEMORY,
)
