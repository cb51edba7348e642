"""Which solution is kept: the first that passes all tests, or one of those that agree on most of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from codecascade.instruct.self_instruct.triplets import Solution


@dataclass(frozen=True)
class Chosen:
    """The number of a solution, and the indices of the assertions that it passes and that count."""

    number: int
    tests: tuple[int, ...]


def first_passing(solutions: Sequence[Solution], counted: Sequence[int]) -> Chosen | None:
    """The first solution that passes all ``counted`` assertions (paper, section 2.5); None if none does."""
    for solution in sorted(solutions, key=lambda each: each.number):
        if counted and solution.passes and all(solution.passes[index] for index in counted):
            return Chosen(solution.number, tuple(counted))
    return None


def agreed(
    solutions: Sequence[Solution],
    counted: Sequence[int],
    *,
    least_solutions: int,
    least_tests: int,
    stubs: Collection[frozenset[int]] = (),
) -> Chosen | None:
    """The first solution of the best consensus set (CodeT, Chen et al. 2022); None if none is large enough.

    Solutions that pass the same tests form a set, and its score is the number of its solutions times the number of
    its tests: solutions and tests that agree confirm each other. So one wrong test does not cost a question.

    Args:
        least_solutions, least_tests: sizes that a set must have.
        stubs: the assertions that each of some stubs passes. A set is left out if a stub passes all its tests:
            solutions that always say yes agree with every test that expects it.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for solution in sorted(solutions, key=lambda each: each.number):
        if solution.passes:
            passed = tuple(index for index in counted if solution.passes[index])
            groups.setdefault(passed, []).append(solution.number)
    sets = [
        (len(numbers) * len(passed), len(passed), -numbers[0], passed)
        for passed, numbers in groups.items()
        if len(numbers) >= least_solutions
        and len(passed) >= least_tests
        and not any(stub.issuperset(passed) for stub in stubs)
    ]
    if not sets:
        return None
    _, _, first, passed = max(sets)
    return Chosen(-first, passed)
