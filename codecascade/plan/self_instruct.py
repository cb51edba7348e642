"""What self-instruct will cost: tokens of its teachers, known from the settings alone, and time (estimates)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from codecascade.evaluation.cost import evaluation_seconds
from codecascade.ground.errors import UserError
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.model.sources import config_of
from codecascade.recipe.self_instruct import KIND, TeacherSettings
from codecascade.recipe.settings import Recipe, Stage

NEW = 0.7
"""The share of the questions that a teacher writes which are new and can be used."""
QUESTION_TOKENS, TEST_TOKENS, SOLUTION_TOKENS = 55, 150, 110
"""Tokens of a question, of the five tests of one, and of a solution, as a trial of 16 questions had them."""
PROMPT_TOKENS = {"question": 250, "code": 500, "tests": 450, "solutions": 500}
"""Tokens of the prompts; that for solutions is read once for all samples of a question."""


@dataclass(frozen=True)
class TeacherCost:
    """What one teacher reads and writes, in tokens.

    Attributes:
        parameters: of the teacher, if it is not a model of the cascade; None where that is not known, as behind a
            server, whose speed is not this machine's either.
    """

    teacher: str
    stage: str | None
    parameters: int | None
    read: int
    written: int


@dataclass(frozen=True)
class SelfInstructCost:
    """What a stage's dialogues cost; ``seconds`` is None where a teacher's size or the speed is not known.

    Attributes:
        questions: how many are wanted.
        programs: solutions that are run, each with all tests.
    """

    stage: str
    questions: int
    programs: int
    teachers: tuple[TeacherCost, ...]
    seconds: float | None = None

    @property
    def read(self) -> int:
        return sum(each.read for each in self.teachers)

    @property
    def written(self) -> int:
        return sum(each.written for each in self.teachers)

    def seconds_at(self, parameters: Mapping[str, int | None], speed: float) -> float | None:
        """The time at ``speed`` FLOP/s in training; None where a teacher's size is not known.

        Args:
            parameters: of each model of the cascade, by its name.
        """
        total = 0.0
        for each in self.teachers:
            size = each.parameters if each.stage is None else parameters.get(each.stage)
            if size is None:
                return None
            total += evaluation_seconds(size, each.read, each.written, speed)
        return total


def self_instruct_costs(
    recipe: Recipe, parameters: Mapping[str, int | None], speed: float | None
) -> tuple[SelfInstructCost, ...]:
    """The cost of each stage that makes its dialogues so.

    Args:
        parameters: of each model of the cascade, by its name.
        speed: FLOP/s in training; None: no times.
    """
    return tuple(
        _cost(stage, parameters, speed)
        for stage in recipe.stage
        if stage.self_instruct is not None and stage.self_instruct.made_in is None and stage.makes(KIND)
    )


def _cost(stage: Stage, parameters: Mapping[str, int | None], speed: float | None) -> SelfInstructCost:
    made = stage.self_instruct
    assert made is not None
    parts = [
        (made.asker_of(stage.parent), *question_tokens(made.settings)),
        (made.teacher_of(stage.parent), *answer_tokens(made.settings)),
    ]
    teachers = tuple(
        TeacherCost(teacher.in_words, teacher.stage, _parameters(teacher), read, written)
        for teacher, read, written in parts
        if read or written
    )
    cost = SelfInstructCost(stage.name, made.questions, made.questions * made.solutions, teachers)
    return cost if speed is None else replace(cost, seconds=cost.seconds_at(parameters, speed))


def question_tokens(settings: SelfInstructSettings) -> tuple[int, int]:
    """Tokens that are read and written to make the questions."""
    total = sum(source.share for source in settings.question.sources)
    read = written = 0.0
    for source in settings.question.sources:
        wanted = settings.questions * source.share / total
        if source.source == "prompt":
            read += PROMPT_TOKENS["question"] * wanted / NEW / settings.question.batch
        elif source.source == "corpus":
            read += PROMPT_TOKENS["code"] * wanted / NEW / settings.question.about_code
        if source.source != "file":
            written += QUESTION_TOKENS * wanted / NEW
    return round(read), round(written)


def answer_tokens(settings: SelfInstructSettings) -> tuple[int, int]:
    """Tokens that are read and written for tests and solutions."""
    prompts = PROMPT_TOKENS["tests"] + PROMPT_TOKENS["solutions"]
    tests = TEST_TOKENS * settings.tests / 5
    return settings.questions * prompts, round(
        settings.questions * (tests + SOLUTION_TOKENS * settings.solutions)
    )


def _parameters(teacher: TeacherSettings) -> int | None:
    """Of a model from outside of the cascade, if its shape is at hand."""
    if teacher.model is None or teacher.endpoint is not None:
        return None
    try:
        config = config_of(teacher.model)
    except UserError:
        return None
    return None if config is None else config.num_parameters()


def context_warnings(recipe: Recipe, positions: Mapping[str, int]) -> list[str]:
    """A sentence for each teacher of this cascade whose context is too short for what it is asked.

    Args:
        positions: of each model of the cascade whose shape is known, by its name.
    """
    found = []
    for stage in recipe.stage:
        made = stage.self_instruct
        if made is None or not stage.makes(KIND):
            continue
        question = made.question
        asks = any(source.source == "prompt" for source in question.sources)
        answers = PROMPT_TOKENS["solutions"] + SOLUTION_TOKENS
        questions = PROMPT_TOKENS["question"] + min(question.tokens, question.batch * QUESTION_TOKENS)
        for teacher, needed, advice in (
            (
                made.asker_of(stage.parent),
                questions * asks,
                "set question.batch lower, or name another teacher",
            ),
            (made.teacher_of(stage.parent), answers, "name another teacher"),
        ):
            has = positions.get(teacher.stage or "")
            if has is not None and has < needed:
                found.append(
                    f"{stage.name}: {teacher.in_words} has {has:,} positions, and what self-instruct asks of it "
                    f"needs about {needed:,}; {advice}"
                )
    return found
