from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.infilling import multilingual as multilingual_infilling
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.execution import verdict_on
from codecascade.evaluation.scores import metrics_of
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext, InfillingPrompt, TextPrompt
from codecascade.ground.errors import UserError

ROWS: list[dict[str, Any]] = [
    {
        "name": "HumanEval_900_add",
        "language": language,
        "prompt": f"// {language}\nadd(a, b)\n",
        "suffix": "\nend\n",
        "canonical_solution": line,
        "tests": "",
    }
    for language, line in [("py", "    return a + b"), ("py", "    x = 1"), ("java", "return a + b;")]
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "fim.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def test_each_line_in_each_layout_scored_by_the_stripped_text(data: Path) -> None:
    context = EvaluationContext(EvaluateSettings(infilling={"format": "spm"}), data=data)
    tasks = multilingual_infilling.tasks(context)
    assert [task.task_id for task in tasks[3:]] == [
        "python/HumanEval_900_add/0",
        "python/HumanEval_900_add/1",
        "java/HumanEval_900_add/0",
    ]
    assert tasks[0].prompt == InfillingPrompt(ROWS[0]["prompt"], ROWS[0]["suffix"], "spm")
    rows = []
    for place, task in enumerate(tasks):
        # SPM comes first: its first line is right, the others have a line too many; in PSM all are right
        text = f"{task.expected.strip()}\n" + "}\n" * (place in (1, 2))
        rows.append({"task_id": task.task_id, **task.fields, **verdict_on(task, text, [])})
    found = metrics_of(multilingual_infilling.scores(rows))
    assert found["exact_match_psm"].value == 1.0 and found["exact_match_java_psm"].n == 1
    assert found["exact_match"] == found["exact_match_spm"] and found["exact_match"].value == pytest.approx(
        1 / 3
    )
    # By the rule that is the same left to right, what follows the line does not count.
    assert found["first_line"].value == found["first_line_psm"].value == 1.0
    assert found["exact_match_python"].value == 0.5 and found["exact_match_java"].value == 0.0


def test_without_infilling_tokens_there_are_figures_left_to_right_alone(data: Path) -> None:
    context = EvaluationContext(EvaluateSettings(), EvaluatedModel(infilling_formats=()), data)
    task, *_ = multilingual_infilling.tasks(context)
    assert task.prompt == TextPrompt(ROWS[0]["prompt"], ("\n",))
    row = {"task_id": task.task_id, **task.fields, **verdict_on(task, "return a + b", [])}
    found = metrics_of(multilingual_infilling.scores([row]))
    assert set(found) == {
        "exact_match_left_to_right",
        "exact_match_python_left_to_right",
        "first_line_left_to_right",
    }
    assert found["exact_match_python_left_to_right"].value == 1


def test_a_line_is_asked_for_where_the_prompt_lacks_the_line_break_before_it(data: Path) -> None:
    """As most rows of the public file: else the line break, which is the stop, would end every answer at once."""
    row = {**ROWS[0], "prompt": "def add(a, b):", "suffix": "\n"}
    (data / "fim.jsonl").write_text(json.dumps(row))
    [task] = multilingual_infilling.tasks(
        EvaluationContext(EvaluateSettings(), EvaluatedModel(infilling_formats=()), data)
    )
    assert task.prompt == TextPrompt("def add(a, b):\n", ("\n",))
    [task] = multilingual_infilling.tasks(
        EvaluationContext(EvaluateSettings(), EvaluatedModel(infilling_formats=("psm",)), data)
    )
    assert isinstance(task.prompt, InfillingPrompt) and task.prompt.prefix == "def add(a, b):"


def test_a_model_with_one_layout_has_its_figures_in_that(data: Path) -> None:
    context = EvaluationContext(EvaluateSettings(), EvaluatedModel(infilling_formats=("spm",)), data)
    rows = [
        {"task_id": task.task_id, **task.fields, **verdict_on(task, task.expected, [])}
        for task in multilingual_infilling.tasks(context)
    ]
    assert metrics_of(multilingual_infilling.scores(rows))["exact_match"].value == 1


def test_a_malformed_row_is_named(data: Path) -> None:
    (data / "fim.jsonl").write_text(json.dumps({**ROWS[0], "suffix": None}))
    with pytest.raises(UserError, match=r"fim\.jsonl:1: suffix: must be str"):
        multilingual_infilling.tasks(EvaluationContext(EvaluateSettings(), data=data))
