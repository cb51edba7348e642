"""Works on a group of questions: their tests, then their solutions, while programs run on the other cores."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from codecascade.instruct.self_instruct.languages.form import LanguageForm
from codecascade.instruct.self_instruct.progress import Meter
from codecascade.instruct.self_instruct.prompt_texts import PromptTexts
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.steps.execution import Execution, Judged
from codecascade.instruct.self_instruct.steps.settle import settled, why_vacuous
from codecascade.instruct.self_instruct.steps.solutions import make_solutions
from codecascade.instruct.self_instruct.steps.tests import MadeTests, make_tests
from codecascade.instruct.self_instruct.steps.vacuous import Vacuity, VacuityCheck
from codecascade.instruct.self_instruct.teacher import Teacher
from codecascade.instruct.self_instruct.triplets import Question, Solution, Triplet, UnitTests


@dataclass(frozen=True)
class TripletMaker:
    """Makes tests and solutions of a group of questions, runs them, and chooses the solution that is kept."""

    settings: SelfInstructSettings
    language: LanguageForm
    texts: PromptTexts
    teacher: Teacher
    execution: Execution
    meter: Meter

    def triplets(self, questions: Sequence[Question]) -> list[Triplet]:
        """A triplet for each question, in their order: kept, or with the reason why it is not.

        Raises:
            RunFailed: the teacher does not answer any more.
        """
        made = make_tests(
            questions,
            self.settings,
            self.language,
            self.teacher,
            self.texts,
            lambda known: self.meter.advance(skipped=known),
        )
        vacuities = self._vacuities(made)
        solutions = self._solutions(questions, made, vacuities)
        return [
            settled(question, tests, vacuity, of_question, self.settings)
            for question, tests, vacuity, of_question in zip(
                questions, made, vacuities, solutions, strict=True
            )
        ]

    def _vacuities(self, made: Sequence[MadeTests]) -> list[Vacuity | None]:
        checks = [
            None if each.tests is None else VacuityCheck(each.tests, self.language, self.execution)
            for each in made
        ]
        found: list[Vacuity | None] = []
        for check in checks:
            found.append(None if check is None else check.result())
            self.meter.tick()
        return found

    def _solutions(
        self, questions: Sequence[Question], made: Sequence[MadeTests], vacuities: Sequence[Vacuity | None]
    ) -> list[list[Solution]]:
        """The solutions of each question, with their verdicts; none where the tests can't tell anything."""
        asked: list[tuple[Question, UnitTests]] = []
        index_of: list[int] = []
        for index, (question, each, vacuity) in enumerate(zip(questions, made, vacuities, strict=True)):
            worth_it = (
                each.tests is not None
                and vacuity is not None
                and not why_vacuous(each.tests, vacuity, self.settings)
            )
            if worth_it and each.tests is not None:
                asked.append((question, each.tests))
                index_of.append(index)
            else:
                self.meter.advance(self.settings.solutions, skipped=True)
        found: list[list[Solution]] = [[] for _ in questions]
        running: list[tuple[int, Solution, Future[Judged]]] = []
        for number, solution, known in make_solutions(
            asked, self.settings, self.language, self.teacher, self.texts
        ):
            self.meter.advance(skipped=known)
            if solution.problem:
                found[index_of[number]].append(solution)
            else:
                future = self.execution.judge_solution(solution, asked[number][1])
                running.append((index_of[number], solution, future))
        for index, solution, future in running:
            judged = future.result()
            found[index].append(replace(solution, verdicts=judged.verdicts, detail=judged.detail))
            self.meter.tick()
        return found
