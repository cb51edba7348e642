"""What becomes of questions whose tests or solutions the teacher can't write, or writes for another function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripted_teacher import ScriptedTeacher, adds, asked_about, questions, run

from codecascade.generation.backend import TextCompletion, TextRequest
from codecascade.instruct.self_instruct.progress import SelfInstructProgress

SMALL: dict[str, Any] = {"solutions": 4, "group": 5, "least_tests": 2}


def test_a_prompt_that_does_not_fit_is_a_reason(tmp_path: Path) -> None:
    class Short(ScriptedTeacher):
        def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
            for index, request in enumerate(requests):
                for number in request.numbers:
                    yield TextCompletion(index, number, "", "context")

    reported: list[SelfInstructProgress] = []
    summary = run(tmp_path / "run", Short(adds), questions(2), progress=reported.append, **SMALL)
    assert dict(summary.reasons) == {"too_long": 2}
    assert reported[-1].done == reported[-1].total, "what is not asked for any more counts as done"


def test_a_solution_prompt_that_does_not_fit_is_the_same_reason(tmp_path: Path) -> None:
    class Short(ScriptedTeacher):
        def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
            for index, request in enumerate(requests):
                if asked_about(request)[0] == "tests":
                    yield from super().complete([request])
                else:
                    yield from (TextCompletion(index, number, "", "context") for number in request.numbers)

    assert dict(run(tmp_path / "run", Short(adds), questions(1), **SMALL).reasons) == {"too_long": 1}


def test_a_second_attempt_with_the_same_test_is_not_enough(tmp_path: Path) -> None:
    def one_test(step: str, question: str, sample: int) -> str:
        return "assert f(1) == 2\n[/TESTS]" if step == "tests" else "def f(x):\n    return x + 1"

    summary = run(tmp_path / "run", ScriptedTeacher(one_test), questions(1), **SMALL)
    assert dict(summary.reasons) == {"no_tests": 1}


def test_a_second_attempt_is_asked_another_way(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(lambda step, question, sample: "I can't think of any.")
    run(tmp_path / "run", teacher, questions(1), test_temperature=0.0, **SMALL)
    first, second = (request.sampling for request in teacher.requests)
    assert first.temperature == 0 and second.temperature > 0, "the likeliest tokens would be the same again"
    assert first.seed != second.seed
    warm = ScriptedTeacher(teacher.answer)
    run(tmp_path / "warm", warm, questions(1), test_temperature=1.0, **SMALL)
    assert [request.sampling.temperature for request in warm.requests] == [1.0, 1.0]


def test_a_question_can_fix_the_name_of_its_function(tmp_path: Path) -> None:
    fixed = [replace(question, entry_point=f"add_{n}") for n, question in enumerate(questions(2))]
    other = [replace(question, entry_point="total") for question in questions(2)]
    teacher = ScriptedTeacher(adds)
    assert run(tmp_path / "fixed", teacher, fixed, **SMALL).dialogues == 2
    assert "The function is called `add_0`." in teacher.requests[0].prompt.messages[-1].content  # type: ignore[union-attr]
    assert dict(run(tmp_path / "other", ScriptedTeacher(adds), other, **SMALL).reasons) == {"no_tests": 2}
