from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from codecascade.evaluation.answers.texts import last_number
from codecascade.evaluation.benchmarks.reasoning import gsm8k
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.execution import verdict_on
from codecascade.evaluation.scores import metrics_of
from codecascade.evaluation.task import ChatPrompt, EvaluatedModel, EvaluationContext, Task, TextPrompt
from codecascade.ground.errors import UserError

ROWS = [
    {"question": "How many are 2 boxes of 600?", "answer": "2 * 600 = <<2*600=1200>>1200.\n#### 1,200"},
    {"question": "Half of 9?", "answer": "9 / 2 = 4.5\n#### 4.5"},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def passed(task: Task, text: str) -> bool:
    right = verdict_on(task, task.completion(text, "stop"), [])["passed"]
    assert isinstance(right, bool)
    return right


def test_eight_examples_and_a_question(data: Path) -> None:
    boxes, _ = gsm8k.tasks(EvaluationContext(EvaluateSettings(), data=data))
    assert isinstance(boxes.prompt, TextPrompt) and boxes.prompt.stop == ("\nQ:",)
    assert boxes.prompt.prompt.count("Q: ") == 9 and boxes.prompt.prompt.count("The answer is") == 8
    assert boxes.prompt.prompt.endswith("\n\nQ: How many are 2 boxes of 600?\nA:")
    (few, _) = gsm8k.tasks(EvaluationContext(EvaluateSettings(gsm8k={"shots": 2}), data=data))
    assert isinstance(few.prompt, TextPrompt) and few.prompt.prompt.count("Q: ") == 3


def test_the_examples_are_right() -> None:
    for _, answer in gsm8k.SHOTS:
        for left, right in re.findall(r"((?:[\d.]+ [-+*/] )+[\d.]+) = ([\d.]*\d)", answer):
            assert eval(left) == pytest.approx(float(right))
        *_, before, last = re.findall(r"\d+(?:\.\d+)?", answer)
        assert last == last_number(answer) and (
            before == last or f"is {last}" in answer or f"to {last}" in answer
        )


def test_a_chat_model_gets_the_examples_as_turns(data: Path) -> None:
    task, _ = gsm8k.tasks(
        EvaluationContext(EvaluateSettings(chat="auto"), EvaluatedModel(is_chat=True), data)
    )
    assert isinstance(task.prompt, ChatPrompt)
    told, _ = gsm8k.tasks(EvaluationContext(EvaluateSettings(chat="always"), EvaluatedModel(), data))
    assert told.prompt == task.prompt, "an endpoint does not say that it can"
    assert [message.role for message in task.prompt.messages] == ["user", "assistant"] * 8 + ["user"]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (" 2 * 600 = 1200. The answer is 1,200.", True),
        (" The answer is $1200.00.\n\nSo 7 it is", True),
        (" 1200", True),
        (" The answer is 1200.\nQ: And 3 boxes?\nA: The answer is 1800.", True),
        (" The answer is 1201.", False),
        (" Many.", False),
        (" 1200 or 7", False),
    ],
)
def test_answers(data: Path, text: str, right: bool) -> None:
    task, _ = gsm8k.tasks(EvaluationContext(EvaluateSettings(), data=data))
    assert passed(task, text) is right


def test_the_references_are_right_answers_and_the_figure_is_a_share(data: Path) -> None:
    context = EvaluationContext(EvaluateSettings(), data=data)
    tasks = gsm8k.tasks(context)
    assert all(passed(task, task.expected) for task in tasks)
    rows = [{"task_id": task.task_id, "passed": place == 0} for place, task in enumerate(tasks)]
    assert metrics_of(gsm8k.scores(rows))["accuracy"].value == 0.5


def test_an_answer_without_its_mark_is_named(data: Path) -> None:
    with open(data / "test.jsonl", "a") as file:
        file.write(json.dumps({"question": "What?", "answer": "7"}) + "\n")
    with pytest.raises(UserError, match=r"test\.jsonl:3: answer: must end in #### and a number"):
        gsm8k.tasks(EvaluationContext(EvaluateSettings(), data=data))
