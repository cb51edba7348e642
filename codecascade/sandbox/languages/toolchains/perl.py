"""Perl; MultiPL-E's tests require ``Test::Deep``."""

from __future__ import annotations

import re
from dataclasses import replace

from codecascade.sandbox.languages.ending import at_end, halves
from codecascade.sandbox.languages.language import (
    Language,
    ProgramPlan,
    Toolchain,
    find_tools,
    first_output_line,
)
from codecascade.sandbox.outcome import Limits


def _perl() -> Toolchain | None:
    return find_tools("perl", version=("-e", 'print "perl $^V"'))


def _find() -> Toolchain | None:
    toolchain = _perl()
    if toolchain is None:
        return None
    version = first_output_line((toolchain.paths["perl"], "-MTest::Deep", "-e", "print $Test::Deep::VERSION"))
    if version is None:
        return None
    return replace(toolchain, version=f"{toolchain.version}, Test::Deep {version}")


def _unusable() -> str | None:
    return (
        None
        if _perl() is None
        else "perl is here, its module Test::Deep is not (apt install libtest-deep-perl)"
    )


def _finish(text: str, token: str) -> str:
    first, second = halves(token)
    return at_end(text, f'print STDOUT "\\n{first}" . "{second}\\n";')


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    return ProgramPlan("program.pl", (toolchain.paths["perl"], "program.pl"))


PERL = Language(
    name="perl",
    title="Perl",
    names=("pl",),
    suffixes=(".pl",),
    install="apt install perl libtest-deep-perl",
    trial="use Test::Deep;",
    find=_find,
    unusable=_unusable,
    finish=_finish,
    plan=_plan,
    memory=re.compile(r"^Out of memory", re.MULTILINE),
)
