"""Finds tests that say nothing: a function passes them that does nothing, always gives the same answer, or gives its
argument back."""

from __future__ import annotations

from dataclasses import dataclass

from codecascade.instruct.self_instruct.languages.form import LanguageForm
from codecascade.instruct.self_instruct.steps.execution import Execution
from codecascade.instruct.self_instruct.triplets import UnitTests

_MOST_VALUES = 6


@dataclass(frozen=True)
class Vacuity:
    """What stubs showed of a question's tests.

    Attributes:
        tests: indices of the assertions that say nothing: two stubs with different answers both pass them.
        passing_stub: a stub that passes all the others; empty if none does.
        passed_by_stubs: for each stub, the indices of the assertions that it passes.
    """

    tests: tuple[int, ...] = ()
    passing_stub: str = ""
    passed_by_stubs: tuple[frozenset[int], ...] = ()


class VacuityCheck:
    """Runs stubs on the tests of one question; the runs begin at once, and :meth:`result` waits for them.

    The stubs are a function that does nothing, functions that always return one value (the odd one, those that the
    tests expect, and the usual ones), and one that returns its first argument.
    """

    def __init__(self, tests: UnitTests, language: LanguageForm, execution: Execution) -> None:
        name = tests.entry_point
        expected = language.expected(tests.assertions, name)[:_MOST_VALUES]
        values = dict.fromkeys([language.odd_value, *expected, *language.usual_values])
        self._count = len(tests.assertions)
        constant = [language.constant_stub(name, value) for value in values]
        self._stubs = [language.empty_stub(name), *constant, language.argument_stub(name)]
        self._runs = [execution.judge(stub, tests.assertions, name) for stub in self._stubs]

    def result(self) -> Vacuity:
        passed = tuple(
            frozenset(index for index, verdict in enumerate(run.result().verdicts) if verdict == "passed")
            for run in self._runs
        )
        # The first two stubs have no answer in common.
        nothing = passed[0] & passed[1]
        rest = frozenset(range(self._count)) - nothing
        passing = next((stub for stub, each in zip(self._stubs, passed, strict=True) if rest <= each), "")
        return Vacuity(tuple(sorted(nothing)), passing, passed)
