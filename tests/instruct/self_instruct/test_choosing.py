"""Which solution is kept, and which tests count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_teacher import InstantSandbox

from codecascade.ground.files.keyed_journal import KeyedJournal
from codecascade.instruct.self_instruct.dialogue import dialogue_row
from codecascade.instruct.self_instruct.languages.python import PYTHON
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.steps.execution import Execution
from codecascade.instruct.self_instruct.steps.selection import agreed, first_passing
from codecascade.instruct.self_instruct.steps.settle import counted_tests, why_vacuous
from codecascade.instruct.self_instruct.steps.vacuous import Vacuity, VacuityCheck
from codecascade.instruct.self_instruct.triplets import Question, Solution, Triplet, UnitTests
from codecascade.sandbox.outcome import Outcome


def solution(number: int, passes: str) -> Solution:
    """``passes`` has a ``1`` for each test that it passes."""
    verdicts = tuple("passed" if each == "1" else "failed" for each in passes)
    return Solution(number, "code", verdicts=verdicts)  # type: ignore[arg-type]


def test_the_first_solution_that_passes_all_counted_tests_is_kept() -> None:
    solutions = [solution(3, "111"), solution(0, "110"), solution(2, "111"), Solution(1, "", "no code")]
    chosen = first_passing(solutions, (0, 1, 2))
    assert chosen is not None
    assert (chosen.number, chosen.tests) == (2, (0, 1, 2))
    fewer = first_passing(solutions, (0, 1))
    assert fewer is not None
    assert fewer.number == 0
    assert first_passing(solutions[1:2], (0, 1, 2)) is None
    assert first_passing(solutions, ()) is None


def test_agreement_takes_the_set_with_the_largest_product() -> None:
    # Three solutions agree on three tests (9); one passes all four (4); two on one (2).
    solutions = [
        *(solution(n, "0111") for n in (4, 1, 7)),
        solution(0, "1111"),
        solution(2, "1000"),
        solution(3, "1000"),
    ]
    chosen = agreed(solutions, (0, 1, 2, 3), least_solutions=2, least_tests=2)
    assert chosen is not None
    assert (chosen.number, chosen.tests) == (1, (1, 2, 3))


def test_agreement_needs_enough_solutions_and_tests() -> None:
    alone = [solution(0, "111"), solution(1, "000")]
    assert agreed(alone, (0, 1, 2), least_solutions=2, least_tests=2) is None
    only_shown = [solution(n, "100") for n in range(5)]
    assert agreed(only_shown, (0, 1, 2), least_solutions=2, least_tests=2) is None
    assert agreed([], (0,), least_solutions=1, least_tests=1) is None


def test_solutions_that_agree_like_a_stub_are_left_out() -> None:
    """Two solutions always say yes, and three of the tests expect it."""
    solutions = [solution(0, "11100"), solution(1, "11100"), solution(2, "01111")]
    yes, no = frozenset({0, 1, 2}), frozenset({3, 4})
    plain = agreed(solutions, range(5), least_solutions=1, least_tests=2)
    checked = agreed(solutions, range(5), least_solutions=1, least_tests=2, stubs=(yes, no))
    assert plain is not None and plain.number == 0
    assert checked is not None and checked.number == 2
    # A stub that passes another test besides theirs says yes to theirs as well.
    more = agreed(solutions, range(5), least_solutions=1, least_tests=2, stubs=(yes | {3}, no))
    assert more == checked


def test_at_equal_products_more_tests_win_then_the_earlier_solution() -> None:
    solutions = [
        solution(0, "1100"),
        solution(1, "1100"),
        solution(2, "1111"),
        solution(3, "0011"),
        solution(4, "0011"),
    ]
    chosen = agreed(solutions, (0, 1, 2, 3), least_solutions=1, least_tests=1)
    assert chosen is not None
    assert chosen.number == 2
    chosen = agreed(solutions, (0, 1, 2, 3), least_solutions=2, least_tests=1)
    assert chosen is not None
    assert chosen.number == 0


@pytest.fixture
def execution(tmp_path: Path) -> Iterator[Execution]:
    with (
        KeyedJournal(tmp_path / "j", {}) as journal,
        Execution(InstantSandbox(), journal, PYTHON, cpu_seconds=1, memory_mb=256) as made,  # type: ignore[arg-type]
    ):
        yield made


def vacuity(execution: Execution, *assertions: str) -> Vacuity:
    return VacuityCheck(UnitTests("f", assertions), PYTHON, execution).result()


@pytest.mark.parametrize(
    ("assertions", "nothing"),
    [
        (("assert f(1) == 2", "assert f(2) == 3"), ()),
        (("assert f(1) != 2", "assert f(2) == 3", "assert f(3) == 4"), (0,)),
        (("assert f(1) or True", "assert f(2) == 3", "assert f(3) == 4"), (0,)),
        (("assert not f(1)", "assert f(2)"), ()),
        (("assert f([]) is None", "assert f([1]) == 1"), ()),
        (("assert f(1) == f(1)", "assert f(2) == 3", "assert f(3) == 4"), (0,)),
    ],
)
def test_a_test_that_two_different_stubs_pass_says_nothing(
    execution: Execution, assertions: tuple[str, ...], nothing: tuple[int, ...]
) -> None:
    found = vacuity(execution, *assertions)
    assert (found.tests, found.passing_stub) == (nothing, "")
    assert all(set(nothing) <= each for each in found.passed_by_stubs[:2])


@pytest.mark.parametrize(
    ("assertions", "stub"),
    [
        (("assert f(1) is None", "assert f(2) is None"), "None"),
        (("assert f(1) == 'yes'", "assert f(2) == 'yes'"), "'yes'"),
        (("assert f(1)", "assert f(2) == True"), "True"),
        (("assert isinstance(f(1), list)", "assert len(f(2)) == 0"), "[]"),
        (("assert f(1) != 1", "assert f(2) != 2"), "None"),
        (
            ("assert f([1, 2]) == [1, 2]", "assert f(rows=[3]) == [3]"),
            "(*values, *options.values(), None)[0]",
        ),
    ],
)
def test_tests_that_a_constant_or_the_argument_passes_are_found(
    execution: Execution, assertions: tuple[str, ...], stub: str
) -> None:
    found = vacuity(execution, *assertions)
    assert found.passing_stub.endswith(f"return {stub}")
    tests = UnitTests("f", assertions)
    assert why_vacuous(tests, found, SelfInstructSettings(drop_vacuous=True))
    assert not why_vacuous(tests, found, SelfInstructSettings(drop_vacuous=False))


def test_vacuous_tests_count_only_if_they_are_not_dropped() -> None:
    tests, found = UnitTests("f", ("a", "b", "c")), Vacuity((1,))
    assert counted_tests(tests, found, SelfInstructSettings(drop_vacuous=True)) == (0, 2)
    assert counted_tests(tests, found, SelfInstructSettings(drop_vacuous=False)) == (0, 1, 2)


class Hanging(InstantSandbox):
    """Every program that mentions a loop takes too long."""

    def run(self, program: object, *, timeout: float, memory_mb: int) -> Outcome:
        if "while" in program.source:  # type: ignore[attr-defined]
            self.programs.append(program)  # type: ignore[arg-type]
            return Outcome("timed_out", "no end after 1 s of CPU time")
        return super().run(program, timeout=timeout, memory_mb=memory_mb)  # type: ignore[arg-type]


def test_a_program_that_hangs_is_not_run_on_every_test(tmp_path: Path) -> None:
    sandbox = Hanging()
    tests = UnitTests("f", tuple(f"assert f({n}) == {n}" for n in range(20)))
    with (
        KeyedJournal(tmp_path / "j", {}) as journal,
        Execution(sandbox, journal, PYTHON, cpu_seconds=1, memory_mb=256) as execution,  # type: ignore[arg-type]
    ):
        judged = execution.judge_solution(Solution(0, "def f(x):\n    while True: pass"), tests).result()
        assert judged.verdicts == ("timed_out", "timed_out", *(None,) * 18)
        assert len(sandbox.programs) == 3
        again = execution.judge_solution(Solution(5, "def f(x):\n    while True: pass"), tests).result()
    assert again == judged
    assert len(sandbox.programs) == 3, "the same program is run once"


class TooMuchTogether(InstantSandbox):
    """Several tests in one program reach a limit, and one alone does not."""

    def __init__(self, whole: Outcome) -> None:
        super().__init__()
        self.whole = whole

    def run(self, program: object, *, timeout: float, memory_mb: int) -> Outcome:
        if program.tests.count("assert") > 1:  # type: ignore[attr-defined]
            return self.whole
        return super().run(program, timeout=timeout, memory_mb=memory_mb)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("whole", "verdict"),
    [
        (Outcome("timed_out", "no end after 1 s of CPU time"), "passed"),
        (Outcome("out_of_memory", "MemoryError"), "passed"),
        # The program keeps something between its calls.
        (Outcome("failed", "AssertionError"), "failed"),
    ],
)
def test_tests_that_pass_alone_may_reach_a_limit_together(
    tmp_path: Path, whole: Outcome, verdict: str
) -> None:
    tests = UnitTests("f", tuple(f"assert f({n}) == {n}" for n in range(5)))
    with (
        KeyedJournal(tmp_path / "j", {}) as journal,
        Execution(TooMuchTogether(whole), journal, PYTHON, cpu_seconds=1, memory_mb=256) as execution,  # type: ignore[arg-type]
    ):
        judged = execution.judge_solution(Solution(0, "def f(x):\n    return x"), tests).result()
    assert judged.verdicts == (verdict,) * 5
    assert bool(judged.detail) == (verdict == "failed")


def test_what_could_not_be_started_is_not_remembered(tmp_path: Path) -> None:
    class Broken(InstantSandbox):
        def run(self, program: object, *, timeout: float, memory_mb: int) -> Outcome:
            return Outcome("not_started", "no memory for a process")

    tests = UnitTests("f", ("assert f(1) == 1", "assert f(2) == 2"))
    code = Solution(0, "def f(x):\n    return x")
    for sandbox, verdict in ((Broken(), "not_started"), (InstantSandbox(), "passed")):
        with (
            KeyedJournal(tmp_path / "j", {}) as journal,
            Execution(sandbox, journal, PYTHON, cpu_seconds=1, memory_mb=256) as execution,  # type: ignore[arg-type]
        ):
            verdicts = execution.judge_solution(code, tests).result().verdicts
            assert verdicts == (verdict,) * 2


def test_a_dialogue_never_states_a_test_that_does_not_count() -> None:
    """The shown test may be wrong: with agreement, the kept solution then fails it."""
    tests = UnitTests("f", ("assert f(1) == 9", "assert f(2) == 3", "assert f(3) == 4"), shown=0)
    code = Solution(0, "def f(x):\n    return x + 1", verdicts=("failed", "passed", "passed"))
    triplet = Triplet(Question("q", "Add one."), tests, [code], chosen=0, kept_tests=(1, 2))
    stated = {}
    for kind in ("one", "all"):
        row = dialogue_row(triplet, SelfInstructSettings(dialogue_tests=kind), PYTHON, ("a", "b"))  # type: ignore[arg-type]
        stated[kind] = [each for each in tests.assertions if each in row["messages"][0]["content"]]
    assert stated == {"one": [tests.assertions[1]], "all": list(tests.assertions[1:])}
