"""Rust with rustc only: the standard library, no crates."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

from codecascade.sandbox.languages.ending import halves, in_main
from codecascade.sandbox.languages.language import (
    Language,
    ProgramPlan,
    Toolchain,
    find_tools,
    first_output_line,
)
from codecascade.sandbox.outcome import Limits


def _find() -> Toolchain | None:
    toolchain = find_tools("rustc", version=("--version",))
    # It links with the C compiler.
    if toolchain is None or shutil.which("cc") is None:
        return None
    # rustup's `rustc` only selects a toolchain, with files in the user's home: use the selected one directly.
    home = first_output_line((toolchain.paths["rustc"], "--print", "sysroot"))
    if home is None:
        return None
    return replace(toolchain, paths={"rustc": f"{home}/bin/rustc"}, folders=(home,))


def _unusable() -> str | None:
    if shutil.which("rustc") is None or shutil.which("cc") is not None:
        return None
    return "rustc is here, the C compiler that it links with is not (apt install gcc)"


def _finish(text: str, token: str) -> str | None:
    first, second = halves(token)
    return in_main(text, r"\bfn\s+main\s*\(", f'::std::println!("\\n{{}}{{}}", "{first}", "{second}");')


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    command = (toolchain.paths["rustc"], "program.rs", "-o", "program")
    return ProgramPlan("program.rs", ("./program",), command, outputs=("program",))


RUST = Language(
    name="rust",
    title="Rust",
    names=("rs",),
    suffixes=(".rs",),
    install="apt install rustc",
    trial="fn main() {}",
    find=_find,
    unusable=_unusable,
    finish=_finish,
    plan=_plan,
    error=re.compile(r"^thread '.*panicked at .*(?:\n.+)?", re.MULTILINE),
    memory=re.compile(r"memory allocation of \d+ bytes failed"),
)
