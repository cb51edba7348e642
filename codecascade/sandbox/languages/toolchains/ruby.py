"""Ruby; MultiPL-E's tests are a ``Test::Unit::TestCase``, which runs when the program has otherwise ended."""

from __future__ import annotations

import re

from codecascade.sandbox.languages.ending import at_end, halves
from codecascade.sandbox.languages.language import (
    Language,
    ProgramPlan,
    Toolchain,
    find_tools,
    first_output_line,
)
from codecascade.sandbox.outcome import Limits


def _find() -> Toolchain | None:
    toolchain = find_tools("ruby", version=("--version",))
    if toolchain is None:
        return None
    try_tests = "require 'test/unit'; puts 1; STDOUT.flush; exit!(true)"
    return toolchain if first_output_line((toolchain.paths["ruby"], "-e", try_tests)) else None


def _finish(text: str, token: str) -> str:
    first, second = halves(token)
    # The tests are run here, so that they come before the line, and are not run again at the end.
    tests = (
        "if defined?(::Test::Unit::AutoRunner)\n"
        "  ::Test::Unit::AutoRunner.need_auto_run = false\n"
        "  exit(1) unless ::Test::Unit::AutoRunner.run\n"
        "end"
    )
    return at_end(text, f'{tests}\nSTDOUT.write("\\n{first}" + "{second}\\n")')


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    return ProgramPlan("program.rb", (toolchain.paths["ruby"], "program.rb"))


RUBY = Language(
    name="ruby",
    title="Ruby",
    names=("rb",),
    suffixes=(".rb",),
    install="apt install ruby",
    trial="require 'test/unit'",
    find=_find,
    finish=_finish,
    plan=_plan,
    error=re.compile(
        r"^(?:Failure|Error): .*$|^(?>\S+?\.rb:\d+:).*(?:\(\w+\)|syntax error.*)$", re.MULTILINE
    ),
    memory=re.compile(r"failed to allocate memory|NoMemoryError"),
)
