"""Add a language of programs: AWK, run confined like all others.

    python examples/add_language.py PROGRAM.awk

In the package a language is a file in codecascade/sandbox/languages/toolchains/ and a line of languages/table.py.
"""

import sys
from pathlib import Path

from codecascade.sandbox.languages.language import Language, ProgramPlan, find_tools
from codecascade.sandbox.languages.table import add_language, why_unusable
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox

AWK = Language(
    name="awk",
    title="AWK",
    names=(),
    suffixes=(".awk",),
    install="apt install mawk",
    trial="BEGIN { exit 0 }",
    find=lambda: find_tools("awk", version=("-W", "version")),
    # An END rule runs even after `exit 1`: no last line can prove that all tests ran, so the exit status decides.
    finish=lambda text, token: None,
    plan=lambda text, tools, limits: ProgramPlan("program.awk", (tools.paths["awk"], "-f", "program.awk")),
)
add_language(AWK)
if (missing := why_unusable("awk")) is not None:
    sys.exit(missing)

text = Path(sys.argv[1]).read_text(encoding="utf-8")
with Sandbox(workers=1) as sandbox:
    outcome = sandbox.run(Program(text, language="awk"), timeout=10, memory_mb=512)
print(outcome.stdout, end="")
print(f"{outcome.outcome} in {outcome.cpu_seconds:.2f} s of CPU time")
