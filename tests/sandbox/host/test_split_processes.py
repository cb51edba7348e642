"""Tests that run apart from what they test: who runs in which process, and verdicts that come late or never."""

from __future__ import annotations

from typing import Any

import pytest

from codecascade.sandbox.host import split
from codecascade.sandbox.host.pool import NO_OUTPUT
from codecascade.sandbox.host.worker import WorkerDied
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox

ADD = "def f(a, b):\n    return a + b"


def apart(source: str, tests: str) -> Program:
    return Program(source, tests=tests, calls=("f",), timeout=2.0)


def test_tests_that_may_change_their_process_have_one_of_their_own(best: Sandbox) -> None:
    spoils = "import builtins, keyword\nbuiltins.abs = len\nassert f(keyword.kwlist, ['x']) == 3"
    source = "def f(a, b):\n    a.clear() if b == ['x'] else None\n    return 3 if b == ['x'] else len(a)"
    assert best.run(apart(source, spoils)).passed
    for _ in range(2):
        assert best.run(
            apart(source, "import keyword\nassert abs(-1) == 1 and f(keyword.kwlist, []) > 30")
        ).passed
        assert best.run(apart(ADD, "assert abs(f(-1, 0)) == 1")).passed


def test_no_process_of_the_program_holds_the_tests(sandbox: Sandbox) -> None:
    """Nor what is left of the tests of programs before."""
    search = (
        "import ctypes\n"
        "marker = bytes(reversed(b'1174-rekram'))\n"
        "found = 0\n"
        "for place, rights, *_, name in [line.split() for line in open('/proc/self/maps')]:\n"
        "    if rights[:2] == 'rw' and name[:2] != '[v':\n"
        "        start, end = (int(part, 16) for part in place.split('-'))\n"
        "        found += ctypes.string_at(start, end - start).count(marker)\n"
        "def f(): return found\n"
    )
    tests = "# marker-4711\n" * 100 + "assert 0 < f() < 100, f()"
    for _ in range(3):
        outcome = sandbox.run(apart(search, tests))
        assert outcome.passed, outcome
    together = sandbox.run(Program(search, tests=tests))
    assert not together.passed, "the search finds nothing"


class _Ended:
    """A worker whose program has ended, and a judging process whose verdict comes after some seconds."""

    def __init__(self, verdict: str, after: float) -> None:
        self.verdict, self.after = verdict, after

    def ask(self, job: Any, link: int) -> None:
        pass

    def answer(self, wait: Any) -> dict[str, Any]:
        if isinstance(wait, dict):
            return {**NO_OUTPUT, "verdict": self.verdict, "ended": True, "exception": None}
        if wait < self.after:
            raise WorkerDied(f"no answer in {wait:g} s")
        return {"verdict": "P", "exception": None, "stderr": "", "cpu_seconds": 0.1}


@pytest.mark.parametrize(
    ("verdict", "after", "expected"),
    [("", 0, "passed"), ("", 11, "passed"), ("timed_out", 0, "passed"), ("timed_out", 11, "timed_out")],
)
def test_a_verdict_may_come_late_on_a_busy_machine(verdict: str, after: float, expected: str) -> None:
    both: Any = _Ended(verdict, after)
    answer = split.run_tests_apart(both, both, {"limits": {}}, {}, Limits(1))
    assert answer["verdict"] == expected
    # A judging process that is still busy is not used again.
    assert answer.get("judge_died", False) == (verdict != "" and after > 0)


def test_without_any_verdict_the_tests_are_run_again() -> None:
    both: Any = _Ended("", 1_000)
    with pytest.raises(split.JudgeDied):
        split.run_tests_apart(both, both, {"limits": {}}, {}, Limits(1))
