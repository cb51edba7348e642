"""Decides what becomes of a question, from its tests, the verdicts on its solutions and the settings."""

from __future__ import annotations

from collections.abc import Sequence

from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.steps.selection import agreed, first_passing
from codecascade.instruct.self_instruct.steps.solutions import TOO_LONG
from codecascade.instruct.self_instruct.steps.tests import MadeTests
from codecascade.instruct.self_instruct.steps.vacuous import Vacuity
from codecascade.instruct.self_instruct.triplets import Question, Solution, Triplet, UnitTests


def counted_tests(tests: UnitTests, vacuity: Vacuity, settings: SelfInstructSettings) -> tuple[int, ...]:
    """The indices of the assertions that decide."""
    left_out = vacuity.tests if settings.drop_vacuous else ()
    return tuple(index for index in range(len(tests.assertions)) if index not in left_out)


def why_vacuous(tests: UnitTests, vacuity: Vacuity, settings: SelfInstructSettings) -> str:
    """Why the tests as a whole say nothing, in words; empty if they say something or nobody asks."""
    if not settings.drop_vacuous:
        return ""
    left = len(counted_tests(tests, vacuity, settings))
    if left < min(settings.least_tests, len(tests.assertions)):
        return f"{left} of {len(tests.assertions)} tests say something about the function"
    if vacuity.passing_stub:
        return f"passed by: {' '.join(vacuity.passing_stub.split())}"
    return ""


def settled(
    question: Question,
    made: MadeTests,
    vacuity: Vacuity | None,
    solutions: Sequence[Solution],
    settings: SelfInstructSettings,
) -> Triplet:
    """The question with all that is known about it, and the solution that is kept or the reason why none is.

    Args:
        vacuity: None if there are no tests.
    """
    tests = made.tests
    if tests is None or vacuity is None:
        return Triplet(question, reason=made.reason, detail=made.detail)
    solutions = sorted(solutions, key=lambda each: each.number)
    if vacuous := why_vacuous(tests, vacuity, settings):
        return Triplet(
            question, tests, solutions, reason="vacuous_tests", detail=vacuous, vacuous=vacuity.tests
        )
    counted = counted_tests(tests, vacuity, settings)
    first = first_passing(solutions, counted)
    group = agreed(
        solutions,
        counted,
        least_solutions=settings.agreement_solutions,
        least_tests=settings.agreement_tests,
        stubs=vacuity.passed_by_stubs if settings.drop_vacuous else (),
    )
    chosen = first if settings.select == "first_passing" else group
    reason, detail = ("", "") if chosen is not None else _reason(solutions, counted, settings)
    return Triplet(
        question,
        tests,
        solutions,
        None if chosen is None else chosen.number,
        () if chosen is None else chosen.tests,
        reason,
        detail,
        vacuity.tests,
        None if first is None else first.number,
        None if group is None else group.number,
    )


def _reason(
    solutions: Sequence[Solution], counted: Sequence[int], settings: SelfInstructSettings
) -> tuple[str, str]:
    run = [each for each in solutions if each.verdicts]
    if solutions and all(each.problem == TOO_LONG for each in solutions):
        return "too_long", "with a test"
    if not run:
        return "no_solutions", next((each.problem for each in solutions if each.problem), "")
    if settings.select == "agreement":
        return "no_agreement", ""
    best = max(sum(each.passes[index] for index in counted) for each in run)
    return "none_passed", f"the best solution passed {best} of {len(counted)} tests"
