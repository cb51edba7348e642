from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.long_context import key_retrieval
from codecascade.evaluation.benchmarks.long_context.key_retrieval import key_problems
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.notation import format_metric
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext
from codecascade.ground.errors import UserError
from codecascade.reports.plots import key_cells
from codecascade.reports.plots import key_retrieval as key_retrieval_picture

SETTINGS = EvaluateSettings(key_retrieval={"lengths": (512, 1024), "positions": (0.0, 0.4), "examples": 3})
KEY = re.compile(r"def my_function\(\).*?return (\d+)", re.DOTALL)


def find(prompt: str) -> str:
    found = KEY.search(prompt)
    return f" {found[1]}\n\n"


def model(tokenizer: Any) -> EvaluatedModel:
    return EvaluatedModel(count_tokens=lambda text: len(tokenizer.encode(text)))


def test_prompts_are_python_with_one_key_in_its_place(tokenizer: Any, corpus: Any) -> None:
    problems = list(key_problems(EvaluationContext(SETTINGS, model(tokenizer), corpus=corpus)))
    assert [problem.task_id for problem in problems[:3]] == ["512@0/0", "512@0.4/0", "512@0/1"]
    assert len(problems) == 12
    for problem in problems:
        ast.parse(problem.prompt + str(problem.value))
        size = len(tokenizer.encode(problem.prompt))
        assert problem.length - 400 < size <= problem.length - 8
        assert len(KEY.findall(problem.prompt)) == 1 and 10 <= problem.value <= 99
        before = len(tokenizer.encode(problem.prompt[: KEY.search(problem.prompt).start()]))
        assert before == pytest.approx(problem.position * problem.length, abs=100)
    assert len({problem.value for problem in problems}) > 2
    assert problems[0].value == problems[1].value, "only the position differs within an example"


def test_the_table_tells_lengths_and_positions_apart(
    tokenizer: Any, oracle: Any, corpus: Any, measure: Any
) -> None:
    def short_sighted(prompt: str) -> str:
        near = find(prompt) if len(prompt) - KEY.search(prompt).start() < 2000 else "0"
        return near + "5" if near == "0" else near

    result, rows = measure("key_retrieval", oracle(tokenizer, short_sighted), SETTINGS, corpus=corpus)
    values = {name: (metric.value, metric.n) for name, metric in result.metrics.items()}
    assert list(values) == ["accuracy", "512@0", "512@0.4", "1024@0", "1024@0.4"]
    assert values["512@0.4"] == (1.0, 3) and values["1024@0"] == (0.0, 3)
    assert values["accuracy"][1] == 12 == len(rows) == len(result.examples)
    assert all(row["passed"] == (row["completion"].strip() == str(row["value"])) for row in rows)


@pytest.mark.parametrize(
    ("answer", "right"), [(" 42\n", True), ("42", True), (" 421", False), (" x42", False), ("", False)]
)
def test_the_first_number_is_the_answer(answer: str, right: bool) -> None:
    assert (key_retrieval._first_number(answer) == 42) is right


def test_prompts_over_the_context_are_not_run_and_are_reported(
    tokenizer: Any, oracle: Any, corpus: Any, measure: Any
) -> None:
    generator = oracle(tokenizer, find, context_length=600)
    result, rows = measure("key_retrieval", generator, SETTINGS, corpus=corpus)
    assert result.metrics["512@0"].value == 1.0 and not result.metrics["1024@0"].is_measured
    assert (result.metrics["accuracy"].value, result.metrics["accuracy"].n) == (1.0, 6)
    assert format_metric(result.metrics["1024@0"], "1024@0") == "not run"
    assert key_retrieval_picture({"m": key_cells(result.metrics)}).count("not run") == 2
    assert result.notes == [
        "6 samples could not be made, for the prompt does not fit into the model's context of 600 tokens; they "
        "are in no figure."
    ]
    assert {row["outcome"] for row in rows if row["cell"].startswith("1024")} == {"not_started"}


@pytest.mark.parametrize("beyond", [False, True])
def test_prompts_over_the_context_are_asked_where_that_is_wanted(corpus: Any, beyond: bool) -> None:
    settings = EvaluateSettings(key_retrieval={"lengths": (512,), "examples": 1, "beyond_context": beyond})
    tasks = key_retrieval.key_tasks(EvaluationContext(settings, corpus=corpus))
    assert [task.prompt.beyond_context for task in tasks] == [beyond] * 3


def test_the_filler_may_be_any_folder_of_code(tmp_path: Path, modules: list[str]) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "one.py").write_text(modules[0])
    settings = EvaluateSettings(key_retrieval={"lengths": (512,), "examples": 1})
    named = [problem.prompt for problem in key_problems(EvaluationContext(settings, data=tmp_path / "code"))]
    assert len(named) == 3 and all("double_0" in prompt or "Box_0" in prompt for prompt in named)
    without = [problem.prompt for problem in key_problems(EvaluationContext(settings))]
    assert len(without) == 3 and not any("double_0" in prompt for prompt in without), "the standard library"
    with pytest.raises(UserError, match="there is no such file or folder"):
        list(key_problems(EvaluationContext(settings, data=tmp_path / "none")))


def test_no_filler_is_an_error_of_one_sentence(corpus: Any) -> None:
    corpus.texts = ["x = 1\n"]
    with pytest.raises(UserError, match="there are no Python functions"):
        list(key_problems(EvaluationContext(SETTINGS, corpus=corpus)))
