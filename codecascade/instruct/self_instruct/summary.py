"""What a run brought, in numbers: the funnel, why questions fell out, topics, and what each option did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from codecascade.ground.errors import RunFailed
from codecascade.instruct.self_instruct.triplets import REASONS, QuestionsMade, Triplet


@dataclass(frozen=True)
class Summary:
    """The content of ``summary.json``.

    Attributes:
        request: hash of all that the result depends on; a finished folder with the same one is left as it is.
        dialogues: lines of ``dialogues.jsonl``.
        funnel: counts from the prompts to what was kept, in this order.
        dropped: questions that left before they got tests, by reason.
        reasons: questions that fell out later, by reason (:data:`~.triplets.REASONS`).
        solutions: answers of the teacher, by what became of them.
        options: what each option found, whether it was in use or not.
        topics, difficulties, sources: ``[questions, kept]`` by name.
        costs: ``seconds``, ``cpu_seconds`` of programs, and for each teacher ``prompts``, ``answers``,
            ``prompt_tokens``, ``answer_tokens``.
        teachers: ``questions`` and ``answers``: each with its ``name`` and what describes it.
        notes: sentences for a reader.
    """

    request: str
    dialogues: int
    funnel: Mapping[str, int]
    dropped: Mapping[str, int]
    reasons: Mapping[str, int]
    solutions: Mapping[str, int]
    options: Mapping[str, int]
    topics: Mapping[str, Sequence[int]]
    difficulties: Mapping[str, Sequence[int]]
    sources: Mapping[str, Sequence[int]]
    costs: Mapping[str, Any]
    teachers: Mapping[str, Mapping[str, str]]
    settings: Mapping[str, Any]
    notes: Sequence[str] = ()

    def row(self) -> dict[str, Any]:
        """The summary as JSON has it."""
        return asdict(self)

    def require_dialogues(self) -> None:
        """Raises :class:`RunFailed`, with the funnel in words, if nothing was kept."""
        if self.dialogues:
            return
        steps = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in self.funnel.items())
        most = max(self.reasons, key=lambda reason: self.reasons[reason], default="")
        why = f"; mostly: {REASONS.get(most, most)}" if most else ""
        raise RunFailed(f"no dialogue was kept ({steps}{why}); report.md shows what the teacher wrote")


@dataclass
class Tally:
    """Counts triplets as they are settled."""

    questions: int = 0
    with_tests: int = 0
    with_solutions: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    solutions: Counter[str] = field(default_factory=Counter)
    options: Counter[str] = field(default_factory=Counter)
    topics: dict[str, list[int]] = field(default_factory=dict)
    difficulties: dict[str, list[int]] = field(default_factory=dict)
    sources: dict[str, list[int]] = field(default_factory=dict)

    def add(self, triplet: Triplet) -> None:
        kept = triplet.chosen is not None
        self.questions += 1
        self.kept += kept
        self.with_tests += triplet.tests is not None
        self.with_solutions += any(each.verdicts for each in triplet.solutions)
        if triplet.reason:
            self.reasons[triplet.reason] += 1
        for solution in triplet.solutions:
            self.solutions[_what_became(triplet, solution.number)] += 1
        self.options["kept_by_first_passing"] += triplet.first_passing is not None
        self.options["kept_by_agreement"] += triplet.agreed is not None
        self.options["vacuous_tests"] += len(triplet.vacuous)
        self.options["questions_with_vacuous_tests"] += bool(triplet.vacuous)
        self.options["questions_that_a_stub_passes"] += triplet.reason == "vacuous_tests"
        question = triplet.question
        for table, name in (
            (self.topics, question.topic),
            (self.difficulties, question.difficulty),
            (self.sources, question.source),
        ):
            counts = table.setdefault(name or "not stated", [0, 0])
            counts[0] += 1
            counts[1] += kept

    def funnel(self, made: QuestionsMade) -> dict[str, int]:
        """The counts of the question step, then those of the later ones."""
        return {
            **made.counts,
            "questions": self.questions,
            "with_tests": self.with_tests,
            "with_solutions": self.with_solutions,
            "kept": self.kept,
        }


def _what_became(triplet: Triplet, number: int) -> str:
    solution = next(each for each in triplet.solutions if each.number == number)
    if not solution.verdicts:
        return "without_program"
    if solution.passes_all:
        return "passed_all"
    if "timed_out" in solution.verdicts:
        return "timed_out"
    return "passed_some" if any(solution.passes) else "passed_none"
