"""Finds tests that say nothing: a function that does nothing, or always gives the same answer, passes them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from codecascade.instruct.self_instruct.languages.form import LanguageForm
from codecascade.instruct.self_instruct.steps.execution import Execution, Judged
from codecascade.instruct.self_instruct.triplets import UnitTests

_MOST_VALUES = 6


@dataclass(frozen=True)
class Vacuity:
    """What stubs showed of a question's tests.

    Attributes:
        tests: indices of the assertions that say nothing: two stubs with different answers both pass them.
        passing_stub: a stub that passes all the others; empty if none does.
    """

    tests: tuple[int, ...] = ()
    passing_stub: str = ""


class VacuityCheck:
    """Runs stubs on the tests of one question; the runs begin at once, and :meth:`result` waits for them."""

    def __init__(self, tests: UnitTests, language: LanguageForm, execution: Execution) -> None:
        self._tests, self._language, self._execution = tests, language, execution
        name = tests.entry_point
        self._pair = [
            execution.judge(stub, tests.assertions, name)
            for stub in (language.empty_stub(name), language.constant_stub(name, language.odd_value))
        ]

    def result(self) -> Vacuity:
        passes = [[verdict == "passed" for verdict in each.result().verdicts] for each in self._pair]
        count = len(self._tests.assertions)
        nothing = tuple(index for index in range(count) if all(each[index] for each in passes))
        rest = [each for index, each in enumerate(self._tests.assertions) if index not in nothing]
        return Vacuity(nothing, self._passing_stub(rest) if rest else self._stubs(rest)[0])

    def _passing_stub(self, assertions: Sequence[str]) -> str:
        stubs = self._stubs(assertions)
        runs: list[Future[Judged]] = [
            self._execution.judge(stub, assertions, self._tests.entry_point, singly=False) for stub in stubs
        ]
        judged = [run.result() for run in runs]
        return next((stub for stub, each in zip(stubs, judged, strict=True) if each.passed), "")

    def _stubs(self, assertions: Sequence[str]) -> list[str]:
        name = self._tests.entry_point
        expected = self._language.expected(assertions, name)[:_MOST_VALUES]
        values = dict.fromkeys([*expected, *self._language.usual_values])
        return [
            self._language.empty_stub(name),
            *(self._language.constant_stub(name, each) for each in values),
        ]
