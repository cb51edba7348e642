"""Step 3: solutions of a question, sampled from one prefill that shows one of its tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from codecascade.generation.requests import SamplingParams
from codecascade.instruct.self_instruct.languages.answers import between_tags
from codecascade.instruct.self_instruct.languages.form import LanguageForm
from codecascade.instruct.self_instruct.prompt_texts import PromptFile, PromptTexts
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.steps.tests import stated
from codecascade.instruct.self_instruct.teacher import Ask, Teacher, sampling_seed
from codecascade.instruct.self_instruct.triplets import Question, Solution, UnitTests

NAME = "solutions"
TOO_LONG = "the prompt does not fit into the teacher's context"
_NEEDED = frozenset({"question", "test"})
_KNOWN = frozenset({"language", "tag", "example_problem", "example_test", "example_solution"})


def solutions_prompt(texts: PromptTexts, *, chat: bool) -> PromptFile:
    """The prompt file of this step.

    Raises:
        UserError: the user's file is broken.
    """
    return texts.file(NAME, chat=chat, needed=_NEEDED, known=_KNOWN)


def make_solutions(
    questions: Sequence[tuple[Question, UnitTests]],
    settings: SelfInstructSettings,
    language: LanguageForm,
    teacher: Teacher,
    texts: PromptTexts,
) -> Iterator[tuple[int, Solution, bool]]:
    """``(index of the question, solution, whether it was known from before)`` as the teacher writes them.

    The programs are not run yet.

    Raises:
        RunFailed: the teacher does not answer any more.
    """
    prompt = solutions_prompt(texts, chat=teacher.chat)
    asks = [_ask(question, tests, settings, language, prompt) for question, tests in questions]
    place = {ask.key: index for index, ask in enumerate(asks)}
    for answer in teacher.ask(asks):
        index = place[answer.key]
        if answer.finish_reason == "context":
            yield index, Solution(answer.number, "", TOO_LONG), answer.known
            continue
        text = between_tags(answer.text, language.tag)
        found = language.find_code(text, questions[index][1].entry_point)
        solution = Solution(answer.number, "" if found.problem else found.code, found.problem)
        yield index, solution, answer.known


def _ask(
    question: Question,
    tests: UnitTests,
    settings: SelfInstructSettings,
    language: LanguageForm,
    prompt: PromptFile,
) -> Ask:
    fields = {
        "question": stated(question),
        "test": tests.assertions[tests.shown],
        "language": language.title,
        "tag": language.tag,
        "example_problem": language.example.problem,
        "example_test": language.example.tests[0],
        "example_solution": language.example.solution,
    }
    sampling = SamplingParams(
        max_new_tokens=settings.solution_tokens,
        temperature=settings.solution_temperature,
        top_p=settings.top_p,
        seed=sampling_seed(settings.seed, NAME, question.id),
    )
    stop = (f"\n[/{language.tag}]",)
    return Ask(
        f"{NAME}/{question.id}", prompt.prompt(fields, stop), sampling, tuple(range(settings.solutions))
    )
