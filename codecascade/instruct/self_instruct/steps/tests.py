"""Step 2: unit tests of a question, written by the teacher and read as single assertions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from codecascade.generation.requests import SamplingParams
from codecascade.ground.seeds import draw
from codecascade.instruct.self_instruct.languages.answers import between_tags
from codecascade.instruct.self_instruct.languages.form import LanguageForm
from codecascade.instruct.self_instruct.prompt_texts import PromptFile, PromptTexts
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.teacher import Ask, Teacher, sampling_seed
from codecascade.instruct.self_instruct.triplets import Question, UnitTests

NAME = "tests"
_TAG = "TESTS"
_STOP = (f"\n[/{_TAG}]",)
_NEEDED = frozenset({"question"})
_LONGEST_SHOWN = 200
"""Characters of an answer without tests, for a reader who looks for what went wrong."""
_KNOWN = frozenset({"tests", "language", "test_form", "example_problem", "example_tests"})


@dataclass(frozen=True)
class MadeTests:
    """The tests of a question, or why there are none: one of :data:`~.triplets.REASONS`, and more about it."""

    tests: UnitTests | None = None
    reason: str = ""
    detail: str = ""


def tests_prompt(texts: PromptTexts, *, chat: bool) -> PromptFile:
    """The prompt file of this step.

    Raises:
        UserError: the user's file is broken.
    """
    return texts.file(NAME, chat=chat, needed=_NEEDED, known=_KNOWN)


def make_tests(
    questions: Sequence[Question],
    settings: SelfInstructSettings,
    language: LanguageForm,
    teacher: Teacher,
    texts: PromptTexts,
    answered: Callable[[bool], None] = lambda known: None,
) -> list[MadeTests]:
    """The tests of each question. If too few are usable, they are asked for again, a bounded number of times.

    Args:
        answered: called for each question that is done; it is told whether the answer was known from before.

    Raises:
        RunFailed: the teacher does not answer any more.
    """
    prompt = tests_prompt(texts, chat=teacher.chat)
    found: list[list[str]] = [[] for _ in questions]
    written = [""] * len(questions)
    too_long = [False] * len(questions)
    missing = list(range(len(questions)))
    for attempt in range(settings.test_attempts):
        asks = [_ask(questions[index], attempt, settings, language, prompt) for index in missing]
        place = {ask.key: index for ask, index in zip(asks, missing, strict=True)}
        last = attempt == settings.test_attempts - 1
        for answer in teacher.ask(asks):
            index = place[answer.key]
            written[index] = answer.text
            too_long[index] = answer.finish_reason == "context"
            found[index] += language.assertions(between_tags(answer.text, _TAG))
            if last or too_long[index] or _enough(found[index], questions[index], settings, language):
                answered(answer.known)
        missing = [
            index
            for index in missing
            if not too_long[index] and not _enough(found[index], questions[index], settings, language)
        ]
    return [
        _made(question, assertions, settings, language, long, text)
        for question, assertions, long, text in zip(questions, found, too_long, written, strict=True)
    ]


def agreed_tests(
    assertions: Iterable[str], entry_point: str, language: LanguageForm
) -> tuple[str, tuple[str, ...]]:
    """The function that most assertions test, and those that call this function and no other one of the program.

    Args:
        entry_point: the function's name, if the question fixes it; else empty.
    """
    # A second attempt may bring the same assertions again: as a dictionary each is there once.
    called = {each: language.called(each) for each in assertions}
    votes = Counter(names[0] for names in called.values() if len(names) == 1)
    name = entry_point or next((name for name, _ in votes.most_common(1)), "")
    return name, tuple(each for each, names in called.items() if names == (name,))


def _ask(
    question: Question,
    attempt: int,
    settings: SelfInstructSettings,
    language: LanguageForm,
    prompt: PromptFile,
) -> Ask:
    fields = {
        "question": stated(question),
        "tests": str(settings.tests),
        "language": language.title,
        "test_form": language.test_form,
        "example_problem": language.example.problem,
        "example_tests": "\n".join(language.example.tests),
    }
    # A teacher that takes the likeliest tokens would write the same again.
    temperature = settings.test_temperature if not attempt else max(settings.test_temperature, 0.6)
    sampling = SamplingParams(
        max_new_tokens=settings.test_tokens,
        temperature=temperature,
        top_p=settings.top_p,
        seed=sampling_seed(settings.seed, NAME, question.id, attempt),
    )
    return Ask(f"{NAME}/{question.id}/{attempt}", prompt.prompt(fields, _STOP), sampling)


def stated(question: Question) -> str:
    """The question's text; it names the function, if the question fixes its name and does not say it yet."""
    if question.entry_point and not says_name(question.text, question.entry_point):
        return f"{question.text} The function is called `{question.entry_point}`."
    return question.text


def says_name(text: str, name: str) -> bool:
    """Whether a text names the function ``name``, and does not only use a word that looks like it.

    ``sum`` is in "summary", and "Find the largest number" calls no function ``find``.
    """
    whole = rf"(?<![\w$]){re.escape(name)}(?![\w$])"
    if re.search(r"[_\d]|[a-z][A-Z]", name):
        return re.search(whole, text) is not None
    word = (
        rf"[`'\"“‘]{whole}|{whole}\s?\(|\b(?i:function|method|def|class|named|called|name)(?: is)?:? {whole}"
    )
    return re.search(word, text) is not None


def _enough(
    assertions: Iterable[str], question: Question, settings: SelfInstructSettings, language: LanguageForm
) -> bool:
    return len(agreed_tests(assertions, question.entry_point, language)[1]) >= settings.least_tests


def _made(
    question: Question,
    assertions: Iterable[str],
    settings: SelfInstructSettings,
    language: LanguageForm,
    too_long: bool,
    written: str,
) -> MadeTests:
    if too_long:
        return MadeTests(reason="too_long")
    name, usable = agreed_tests(assertions, question.entry_point, language)
    usable = usable[: settings.tests]
    if not usable or len(usable) < settings.least_tests:
        beginning = " ".join(written[: 2 * _LONGEST_SHOWN].split())[:_LONGEST_SHOWN]
        detail = f"{len(usable)} usable, {settings.least_tests} needed; the last answer begins: {beginning}"
        return MadeTests(reason="no_tests", detail=detail)
    shown = draw(settings.seed, "shown", question.id, separator="\0") % len(usable)
    return MadeTests(UnitTests(name, usable, shown))
