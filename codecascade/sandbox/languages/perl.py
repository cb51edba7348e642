"""Perl; MultiPL-E's tests ask for ``Test::Deep``."""

from __future__ import annotations

import re

from codecascade.sandbox.languages.ending import at_end, halves
from codecascade.sandbox.languages.language import Language, Plan, Toolchain, find_tools, first_line
from codecascade.sandbox.outcome import Limits


def _find() -> Toolchain | None:
    toolchain = find_tools("perl", version=("-e", 'print "perl $^V"'))
    if toolchain is None or first_line((toolchain.paths["perl"], "-MTest::Deep", "-e", "print 1")) is None:
        return None
    return toolchain


def _finish(text: str, token: str) -> str:
    first, second = halves(token)
    return at_end(text, f'print STDOUT "\\n{first}" . "{second}\\n";')


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> Plan:
    return Plan("program.pl", (toolchain.paths["perl"], "program.pl"))


PERL = Language(
    name="perl",
    title="Perl",
    names=("pl",),
    suffixes=(".pl",),
    install="apt install perl libtest-deep-perl",
    trial="use Test::Deep;",
    find=_find,
    finish=_finish,
    plan=_plan,
    memory=re.compile(r"^Out of memory", re.MULTILINE),
)
