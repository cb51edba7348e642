"""What is made: a question, its unit tests, its solutions, and what running them showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codecascade.sandbox.outcome import Verdict


@dataclass(frozen=True)
class Question:
    """A programming question.

    Attributes:
        id: unique in a run and the same in each repetition of it; every later draw is keyed by it. It depends on the
            text alone (:func:`~codecascade.corpus.documents.content_id` of its normal form, for example), not on how
            many questions were asked for.
        text: the question as the model that solves it will see it; one paragraph or more, without a number in front.
        source: where it comes from: ``prompt``, ``corpus`` or ``file``.
        topic: what it is about, as a short phrase; empty if that is not known.
        difficulty: ``easy``, ``medium`` or empty.
        seed: for a question about the user's own code, what it was asked about: ``path``, ``repository``,
            ``license``, ``function``. For a question of a file, ``path`` and ``line``. Else empty.
        entry_point: the name of the function, if the question fixes one; else empty, and the tests decide.
    """

    id: str
    text: str
    source: str = "prompt"
    topic: str = ""
    difficulty: str = ""
    seed: Mapping[str, str] = field(default_factory=dict)
    entry_point: str = ""


@dataclass(frozen=True)
class DroppedQuestion:
    """A question that left before it got tests.

    Attributes:
        reason: ``duplicate``, ``near_duplicate``, ``contaminated`` or ``unusable``.
        detail: what it equals, resembles or overlaps, or what is wrong with it.
    """

    text: str
    reason: str
    detail: str = ""
    source: str = "prompt"


@dataclass(frozen=True)
class QuestionsMade:
    """The result of the question step.

    Attributes:
        questions: at most as many as were wanted, in the order in which they get tests; no two have the same id.
        counts: for the report's funnel, in this order: ``prompts`` (asked of the teacher), ``parsed`` (questions
            found in its answers, in files and in the corpus), then one count for each reason of :attr:`dropped`.
        dropped: what left, and why.
        notes: sentences for the report, such as which benchmarks could not be checked.
    """

    questions: tuple[Question, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[DroppedQuestion, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitTests:
    """The tests of a question.

    Attributes:
        entry_point: the function that all of them call.
        assertions: single assertions, each a statement that can stand alone behind a solution.
        shown: the index of the assertion that the teacher sees when it writes solutions.
    """

    entry_point: str
    assertions: tuple[str, ...]
    shown: int = 0


@dataclass(frozen=True)
class Solution:
    """One answer of the teacher to a question, and what its tests said.

    Attributes:
        number: which sample it is, from 0.
        code: the program; empty if the answer held none.
        problem: why there is no program, or why it can't be run; empty otherwise.
        verdicts: one for each of the assertions, in their order; None where a test was not run because earlier ones
            of the same solution took too long.
        detail: what the first failing test said.
    """

    number: int
    code: str
    problem: str = ""
    verdicts: tuple[Verdict | None, ...] = ()
    detail: str = ""

    @property
    def passes(self) -> tuple[bool, ...]:
        """For each assertion, whether the solution passes it."""
        return tuple(verdict == "passed" for verdict in self.verdicts)

    @property
    def passes_all(self) -> bool:
        return bool(self.verdicts) and all(self.passes)


@dataclass(frozen=True)
class Triplet:
    """A question with its tests and solutions; ``chosen`` is the number of the solution that was kept, or None.

    Attributes:
        tests: None if the teacher wrote none that can be used.
        kept_tests: indices of the assertions that the kept solution is known to pass and that count.
        reason: why the question fell out, as one of :data:`REASONS`; empty if it was kept.
        detail: more about the reason, for a reader.
        vacuous: indices of the assertions that say nothing, if such tests are looked for.
        first_passing, agreed: the solution that each way of choosing would keep, whatever way was used.
    """

    question: Question
    tests: UnitTests | None = None
    solutions: Sequence[Solution] = ()
    chosen: int | None = None
    kept_tests: tuple[int, ...] = ()
    reason: str = ""
    detail: str = ""
    vacuous: tuple[int, ...] = ()
    first_passing: int | None = None
    agreed: int | None = None

    @property
    def solution(self) -> Solution | None:
        """The solution that was kept."""
        return next((each for each in self.solutions if each.number == self.chosen), None)


REASONS: Mapping[str, str] = {
    "no_tests": "the teacher wrote no usable tests",
    "vacuous_tests": "a function that does nothing, or returns one constant or its argument, passes the tests",
    "no_solutions": "no answer held a program with the tested function",
    "none_passed": "no solution passed the tests",
    "no_agreement": "no group of solutions agrees on enough tests",
    "too_long": "the prompt does not fit into the teacher's context",
}
"""Why a question falls out after it got into the run, in words for the report."""


def triplet_row(triplet: Triplet) -> dict[str, Any]:
    """A triplet as a line of ``triplets.jsonl``."""
    question, tests = triplet.question, triplet.tests
    return {
        "id": question.id,
        "question": question.text,
        "source": question.source,
        "topic": question.topic,
        "difficulty": question.difficulty,
        "seed": dict(question.seed),
        "entry_point": tests.entry_point if tests else None,
        "tests": list(tests.assertions) if tests else [],
        "shown_test": tests.shown if tests else None,
        "vacuous_tests": list(triplet.vacuous),
        "kept": triplet.chosen is not None,
        "chosen": triplet.chosen,
        "kept_tests": list(triplet.kept_tests),
        "solution": triplet.solution.code if triplet.solution else None,
        "reason": triplet.reason or None,
        "detail": triplet.detail or None,
        "first_passing": triplet.first_passing,
        "agreed": triplet.agreed,
        "solutions": [
            {
                "number": each.number,
                "code": each.code or None,
                "problem": each.problem or None,
                "verdicts": list(each.verdicts),
                "detail": each.detail or None,
            }
            for each in triplet.solutions
        ],
    }
