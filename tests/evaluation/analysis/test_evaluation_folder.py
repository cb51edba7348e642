"""Any ``results.json`` is read, or refused with a sentence: it may be edited by hand, or another version's."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evaluations import sample, write_evaluation

from codecascade.evaluation.analysis.evaluation_folder import read_evaluation
from codecascade.evaluation.analysis.paper_comparison import paper_comparisons
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.metrics import Metric, wilson
from codecascade.evaluation.running.settings_used import used_settings
from codecascade.ground.errors import UserError
from codecascade.reports.evaluation.report import write_evaluation_report

COUNT = {"n": 1, "of": 3}
CONDITIONS = {
    "asked_in_chat": False,
    **dict.fromkeys(("healed_prompts", "unasked", "cut_answers", "cut_inputs", "unrun"), COUNT),
    "confinement": "namespaces",
    "quantisation": None,
    "endpoint": False,
    "source": "data 1",
}
ABOUT = {
    "title": "HumanEval",
    "metric": "pass@1",
    "settings": used_settings(BENCHMARKS["humaneval"], EvaluateSettings()),
    "conditions": CONDITIONS,
    "tasks": 3,
    "tasks_total": 9,
    "missing": 0,
    "notes": ["a note"],
    "seconds": 1.5,
    "contamination": {"corpus": "c", "n": 3, "tasks": ["t/0"], "of": 3},
}
VALUES = (None, "x", -1, 3.5, float("nan"), float("inf"), True, [], [1], {}, {"a": 1})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [sample(f"t/{n}", n == 0) for n in range(3)]
    return write_evaluation(
        tmp_path / "made",
        {"humaneval": rows},
        metrics={"humaneval": {"pass@1": wilson(1, 3)}},
        about={"humaneval": ABOUT},
    )


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def changed(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    found = copy.deepcopy(content)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return found


def test_whatever_stands_in_a_place_is_read_or_refused_with_a_sentence(folder: Path) -> None:
    file = folder / "results.json"
    content = json.loads(file.read_text())
    refused = 0
    for path in places(content):
        for value in VALUES:
            file.write_text(json.dumps(changed(content, path, value)))
            try:
                paper_comparisons(read_evaluation(folder))
            except UserError as error:
                refused += 1
                assert "results.json" in str(error) or "made" in str(error)
    assert refused > 100


@pytest.mark.parametrize(
    ("where", "value", "key"),
    [
        (("conditions", "healed_prompts"), 5, "benchmarks.humaneval.conditions.healed_prompts"),
        (("conditions", "cut_answers"), {"n": 1}, "benchmarks.humaneval.conditions.cut_answers.of"),
        (("settings", "temperature"), "cold", "benchmarks.humaneval.settings.temperature"),
        (("tasks",), "many", "benchmarks.humaneval.tasks"),
        (("contamination", "tasks"), 7, "benchmarks.humaneval.contamination.tasks"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, where: tuple[str, ...], value: Any, key: str) -> None:
    file = folder / "results.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(changed(content, ("benchmarks", "humaneval", *where), value)))
    with pytest.raises(UserError) as caught:
        read_evaluation(folder)
    assert str(caught.value).startswith(f"{file}: {key}: ")


def test_costs_that_are_no_numbers_are_left_out(folder: Path) -> None:
    file = folder / "results.json"
    content = json.loads(file.read_text())
    (model,) = content["models"]
    content["cost"] = {model: {"evaluation_seconds": float("nan"), "samples": 3, "generated_tokens": "x"}}
    file.write_text(json.dumps(content))
    write_evaluation_report(folder, pages=False)
    cost = (folder / "report.md").read_text().split("## Cost")[1].split("##")[0]
    assert "samples: 3" in cost and "generated" not in cost and "evaluation" not in cost


def test_names_of_other_versions_are_left_alone(folder: Path) -> None:
    file = folder / "results.json"
    content = json.loads(file.read_text())
    about = content["benchmarks"]["humaneval"]
    about["settings"]["a_setting_of_the_future"] = about["unknown"] = ["x"]
    about["conditions"]["a_condition_of_the_future"] = 1
    file.write_text(json.dumps(content))
    (table,) = paper_comparisons(read_evaluation(folder))
    assert table.own[0] is not None


@pytest.mark.parametrize("name", ["prompt", "suffix", "expected", "test", "messages"])
def test_tasks_that_are_no_texts_are_named(folder: Path, name: str) -> None:
    (folder / "tasks").mkdir(exist_ok=True)
    file = folder / "tasks" / "humaneval.jsonl"
    for value in (None, 5, ["x"], [{"role": "user"}]):
        file.write_text(json.dumps({"task_id": "t/0", name: value}) + "\n")
        with pytest.raises(UserError) as caught:
            list(read_evaluation(folder).benchmarks["humaneval"].asked())
        assert str(caught.value).startswith(f"{file}:1: {name}: must be a")


@pytest.mark.parametrize("nats", [10**400, 1e308, "1", None, []], ids=lambda value: repr(value)[:5])
@pytest.mark.parametrize("name", ["validation", "perplexity"])
def test_rows_beyond_all_numbers_have_no_scores(tmp_path: Path, name: str, nats: object) -> None:
    loss = {"1024": nats} if name == "perplexity" else nats
    row = {"nats": loss, "tokens": 1, "bytes": 1, "scored_bytes": 1}
    rows = [{**row, "task_id": f"f{number}"} for number in range(3)]
    figure = {BENCHMARKS[name].metric: Metric(1.0, 0.9, 1.1, 3)}
    write_evaluation(tmp_path, {name: rows}, metrics={name: figure})
    assert scores_of(read_evaluation(tmp_path).benchmarks[name]) == {}
