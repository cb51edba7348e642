"""Lua; MultiPL-E's tests require ``luaunit``, and end the program with its result."""

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

_EXIT = re.compile(r"\bos\.exit\(")


def _find() -> Toolchain | None:
    toolchain = find_tools("lua", version=("-v",))
    if (
        toolchain is None
        or first_output_line((toolchain.paths["lua"], "-e", "require('luaunit') print(1)")) is None
    ):
        return None
    return toolchain


def _unusable() -> str | None:
    if find_tools("lua", version=("-v",)) is None:
        return None
    return "lua is here, its module luaunit is not (apt install lua-unit)"


def _finish(text: str, token: str) -> str:
    first, second = halves(token)
    line = f'io.stdout:write("\\n{first}" .. "{second}\\n")'
    program = text.rstrip()
    last = _EXIT.search(program, program.rfind("\n") + 1)
    if last is None or not program.endswith(")"):
        return at_end(text, line)
    tests = f"local codecascade_status = {program[last.end() : -1]}\n"
    return at_end(f"{text[: last.start()]}{tests}{line}", "os.exit(codecascade_status)")


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    return ProgramPlan("program.lua", (toolchain.paths["lua"], "program.lua"))


LUA = Language(
    name="lua",
    title="Lua",
    names=(),
    suffixes=(".lua",),
    install="apt install lua5.4 lua-unit",
    trial="os.exit(require('luaunit').LuaUnit.run())",
    find=_find,
    unusable=_unusable,
    finish=_finish,
    plan=_plan,
    error=re.compile(r"^(?:\S*lua: )?(\S*program\.lua:\d+: .*)$", re.MULTILINE),
    # The second pattern: luaunit gets the bare message instead of its own object.
    memory=re.compile(
        r"not enough memory$|luaunit\.lua:\d+: attempt to index a string value \(local 'err'\)", re.MULTILINE
    ),
)
