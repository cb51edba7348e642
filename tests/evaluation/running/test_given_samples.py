"""Given samples: what an earlier evaluation wrote into them, or stands there by chance, is no part of this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import tiny_data

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.judges.judge import Judgement
from codecascade.evaluation.rows import OWN_FIELDS
from codecascade.evaluation.running.driver import answer_row, reference_row, verdict_on_unasked
from codecascade.evaluation.running.execution import SHARED, verdict_on
from codecascade.evaluation.running.work import given_work
from codecascade.evaluation.task import EvaluationContext, InfillingPrompt, Task, TextPrompt
from codecascade.generation.backend import ReferenceScores, TextCompletion
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.sandbox.outcome import Outcome

FAILED = Outcome("failed", "AssertionError", stderr="Traceback", tests_apart=False)


def written(task: Task) -> set[str]:
    """The fields that a task's rows may have besides its own."""
    row = answer_row(task, TextCompletion(0, 0, "x\n```\n}\n\n[DONE]\n"))
    outcomes = [FAILED] * len(task.programs(row["completion"])) if task.programs is not None else []
    return {*row, *verdict_on(task, row["completion"], outcomes), *verdict_on_unasked(task)}


def test_the_list_of_fields_has_all_that_the_benchmarks_write(tmp_path: Path, corpus: Any) -> None:
    found = {*reference_row([ReferenceScores((-1.0,), True)])}
    for name, benchmark in BENCHMARKS.items():
        if benchmark.tasks is None:
            continue
        (tmp_path / name).mkdir()
        data = tiny_data(tmp_path / name, name)
        for to_end in (True, False):
            settings = EvaluateSettings(
                infilling={"to_end": to_end}, key_retrieval={"lengths": [512]}, apps={"shots": []}
            )
            tasks = benchmark.tasks(EvaluationContext(settings, data=data, corpus=corpus))
            assert tasks, name
            for task in (tasks[0], tasks[-1]):
                found |= written(task) | task.fields.keys() & {"format", "to_end"}
        if benchmark.judging is not None:
            found |= benchmark.judging.row(Judgement(None), {}).keys()
    assert found - {"completion", "sample"} == OWN_FIELDS


@pytest.fixture
def rescored(ten_problems: Any, measure: Any, sandbox: Any, tmp_path: Path) -> Any:
    """HumanEval's result and rows for given samples."""

    def run(samples: list[dict[str, Any]]) -> Any:
        write_jsonl(tmp_path / "samples.jsonl", samples)
        inputs = {"humaneval": tmp_path / "samples.jsonl"}
        return measure("humaneval", samples=inputs, sandbox=sandbox, data={"humaneval": ten_problems[0]})

    return run


RIGHT, WRONG = "    return a + 0\n", "    return 5\n"


def test_fields_of_an_earlier_evaluation_change_no_figure(rescored: Any) -> None:
    samples = [{"task_id": "HumanEval/0", "completion": text, "note": "mine"} for text in (RIGHT, WRONG)]
    result, rows = rescored(samples)
    assert result.metrics["pass@1"].n == 1 and [row["note"] for row in rows] == ["mine"] * 2
    old: dict[str, Any] = dict.fromkeys(sorted(OWN_FIELDS), 0.25)
    old |= {"base_passed": False, "tests": SHARED, "finish_reason": "context", "ended": True}
    stale, stale_rows = rescored([{**each, **old, "format": str(n)} for n, each in enumerate(samples)])
    assert stale_rows == rows
    assert (stale.metrics, stale.notes, stale.about) == (result.metrics, result.notes, result.about)


def test_what_was_not_asked_is_not_run_as_an_answer(rescored: Any) -> None:
    samples = [
        {"task_id": "HumanEval/0", "completion": text, "finish_reason": "context"}
        for text in ("", "\n", RIGHT)
    ]
    _, rows = rescored(samples)
    assert [row["outcome"] for row in rows] == ["not_started", "not_started", "passed"]
    assert ["finish_reason" in row for row in rows] == [True, True, False]


def test_numbers_of_samples_are_numbers(rescored: Any) -> None:
    numbers: list[Any] = [7, "x", None, True, 0.5, 0]
    samples = [{"task_id": "HumanEval/0", "completion": RIGHT, "sample": number} for number in numbers]
    assert [row["sample"] for row in rescored(samples)[1]] == [7, 1, 2, 3, 4, 0]


def test_a_row_is_of_the_task_that_it_agrees_with_most(tmp_path: Path) -> None:
    tasks = [
        Task("t", InfillingPrompt("", "", layout), 1, fields={"format": layout, "language": "python"})
        for layout in ("psm", "spm")
    ]
    rows = [
        {"format": "spm", "language": "Python"},
        {"format": "spm"},
        {"format": "psm"},
        {"format": "x"},
        {},
    ]
    write_jsonl(tmp_path / "s.jsonl", [{"task_id": "t", "completion": "", **row} for row in rows])
    work = given_work(BENCHMARKS["infilling_single_line"], tasks, tmp_path / "s.jsonl")
    assert work.given is not None and list(work.given.tasks) == [1, 1, 0, 0, 0]


_values = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3) | st.just([1])


@given(
    st.dictionaries(st.sampled_from(sorted(OWN_FIELDS)), _values), st.dictionaries(st.text("xyz"), _values)
)
def test_the_users_own_fields_stay(
    tmp_path_factory: pytest.TempPathFactory, own: dict[str, Any], others: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("given") / "samples.jsonl"
    path.write_text(json.dumps({"task_id": "t", "completion": "x", **own, **others}) + "\n")
    work = given_work(BENCHMARKS["humaneval"], [Task("t", TextPrompt(""), 1)], path)
    assert work.given is not None
    assert list(work.given.rows()) == [{"sample": 0, "task_id": "t", "completion": "x", **others}]
