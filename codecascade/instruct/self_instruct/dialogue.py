"""A kept triplet as a dialogue: what the user asks, and the answer that passed its tests."""

from __future__ import annotations

from typing import Any

from codecascade.ground.seeds import draw
from codecascade.instruct.self_instruct.languages.answers import fenced
from codecascade.instruct.self_instruct.languages.form import LanguageForm
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.steps.tests import says_name, stated
from codecascade.instruct.self_instruct.triplets import Triplet


def dialogue_row(
    triplet: Triplet, settings: SelfInstructSettings, language: LanguageForm, teachers: tuple[str, str]
) -> dict[str, Any]:
    """The line of ``dialogues.jsonl`` for a triplet that was kept.

    Args:
        teachers: names of the models that wrote the question, and the tests and solutions.
    """
    solution = triplet.solution
    assert solution is not None
    assert triplet.tests is not None
    question = triplet.question
    return {
        "messages": [
            {"role": "user", "content": _request(triplet, settings, language)},
            {"role": "assistant", "content": fenced(solution.code, language.fence)},
        ],
        "id": question.id,
        "entry_point": triplet.tests.entry_point,
        "source": question.source,
        "topic": question.topic,
        "difficulty": question.difficulty,
        "seed": dict(question.seed),
        "question_by": teachers[0] if question.source != "file" else "",
        "answer_by": teachers[1],
    }


def _request(triplet: Triplet, settings: SelfInstructSettings, language: LanguageForm) -> str:
    tests = triplet.tests
    assert tests is not None
    kind = settings.dialogue_tests
    if kind == "mixed":
        kind = ("none", "one", "all")[draw(settings.seed, "stated", triplet.question.id, separator="\0") % 3]
    text = stated(triplet.question)
    shown = tests.shown if tests.shown in triplet.kept_tests else triplet.kept_tests[0]
    numbers = {"none": (), "one": (shown,), "all": triplet.kept_tests}[kind]
    if not numbers:
        # Without a test the name of the function would be anybody's guess.
        name = tests.entry_point
        return text if says_name(text, name) else f"{text} Call the function `{name}`."
    lines = "\n".join(tests.assertions[number] for number in numbers)
    which = "this test" if len(numbers) == 1 else "these tests"
    return f"{text}\n\nYour code should pass {which}:\n\n{fenced(lines, language.fence)}"
