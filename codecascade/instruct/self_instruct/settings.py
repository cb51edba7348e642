"""The settings of self-instruct: a table of a recipe, and the options of the command."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from codecascade.ground.choices import PromptForm, Selection
from codecascade.ground.settings import Settings
from codecascade.instruct.self_instruct.questions.settings import QuestionSettings

DialogueTests = Literal["none", "one", "all", "mixed"]
Positive = Annotated[int, Field(ge=1)]
Temperature = Annotated[float, Field(ge=0, le=5)]
Probability = Annotated[float, Field(gt=0, le=1)]

LATER_KEYS = frozenset(
    {
        "questions",
        "solutions",
        "least_tests",
        "test_attempts",
        "select",
        "drop_vacuous",
        "agreement_solutions",
        "agreement_tests",
        "cpu_seconds",
        "memory_mb",
        "dialogue_tests",
        "group",
        "give_up",
    }
)
"""Settings that may change when a folder is continued: they change no prompt, and what is known already is used."""


class SelfInstructSettings(Settings):
    """How a model makes its own training data. The defaults are the paper's, where it states them (section 2.5).

    Attributes:
        questions: how many questions are wanted, after duplicates and contaminated ones have left.
        seed: start of every random draw.
        language: of the tests and solutions: ``python``, or another one that
            :mod:`~codecascade.instruct.self_instruct.languages.table` knows.
        prompts: folder with prompt files in place of the shipped ones.
        form: ``chat`` asks in the teacher's chat format; ``plain`` lets it continue a text, as base models do;
            ``auto`` takes chat where the teacher has a chat format.
        tests: how many unit tests a question should get.
        test_attempts: how often tests are asked for, until at least ``least_tests`` can be used.
        least_tests: a question with fewer usable tests falls out.
        solutions: how many solutions are sampled for a question.
        select: ``first_passing`` keeps the first solution that passes all tests (the paper's way); ``agreement``
            keeps one of the largest group of solutions that pass the same tests (CodeT, dual execution agreement).
        agreement_solutions, agreement_tests: the least size of such a group, and of its set of tests.
        drop_vacuous: leave out tests that a function passes which does nothing, and questions whose tests one
            constant answer passes, or the argument itself.
        dialogue_tests: which of a question's tests its dialogue states: ``none``, ``one`` (the shown one), ``all``
            that count, or ``mixed``: one of these three, drawn for each question.
        group: questions that are worked on together; a smaller group shows sooner what is kept.
        give_up: if so many questions (rounded up to whole groups) bring nothing, no others are tried.
        cpu_seconds, memory_mb: limits of one program.
        max_answer: characters of an answer that are read at most; the rest is ignored.
    """

    questions: Positive = 1000
    seed: int = 0
    language: str = "python"
    prompts: str | None = None
    form: PromptForm = "auto"
    tests: Positive = 5
    test_attempts: Positive = 2
    least_tests: Positive = 2
    test_temperature: Temperature = 0.2
    test_tokens: Positive = 512
    solutions: Positive = 10
    solution_temperature: Temperature = 0.8
    solution_tokens: Positive = 512
    top_p: Probability = 0.95
    select: Selection = "first_passing"
    agreement_solutions: Positive = 2
    agreement_tests: Positive = 2
    drop_vacuous: bool = True
    dialogue_tests: DialogueTests = "mixed"
    group: Positive = 64
    give_up: Positive = 200
    cpu_seconds: Annotated[float, Field(gt=0, le=600)] = 3.0
    memory_mb: Annotated[int, Field(ge=16, le=1 << 20)] = 1024
    max_answer: Annotated[int, Field(ge=100)] = 100_000
    question: QuestionSettings = QuestionSettings()
