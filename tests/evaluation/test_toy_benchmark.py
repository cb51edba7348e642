"""A benchmark is one file and one line: a toy that the table gets is found everywhere, without any other edit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import toy_benchmark
from toy_benchmark import ToySettings

from codecascade import cli
from codecascade.cascade import benchmark_texts as texts_module
from codecascade.cascade.benchmark_texts import benchmark_texts
from codecascade.evaluation.analysis.compare import compare
from codecascade.evaluation.analysis.evaluation_folder import read_evaluation
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.cost import evaluation_tokens
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.result import BenchmarkResult, answered_problems
from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.recipe import make_recipe, read_recipe, write_recipe
from codecascade.recipe.settings import to_data
from codecascade.reports.cascade.report import table_columns
from codecascade.reports.cascade.run_report import ModelReport

PROBLEMS = [
    {"task_id": f"toy/{n}", "prompt": f"{n}+{n}=", "answer": str(2 * n), "kind": "even" if n % 2 else "odd"}
    for n in range(8)
]
RECIPE = """
name = "toy"
base = "tiny"
corpus = ["stdlib"]
[evaluate]
benchmarks = ["toy"]
[evaluate.toy]
problems = 6
[[stage]]
name = "code"
kind = "code"
parent = "base"
steps = 3
[stage.evaluate.toy]
max_new_tokens = 4
"""


@pytest.fixture(autouse=True)
def in_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one line."""
    monkeypatch.chdir(tmp_path)
    write_jsonl("toy.jsonl", PROBLEMS)
    for benchmark in toy_benchmark.BENCHMARKS:
        monkeypatch.setitem(BENCHMARKS, benchmark.name, benchmark)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["eval", *arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, " ".join(err.split())


def measured(capsys: pytest.CaptureFixture[str], name: str, right: int, *more: str) -> Any:
    """The evaluation of a file of samples whose first answers are right, the others too large by one."""
    rows = [
        {"task_id": each["task_id"], "completion": f" {int(each['answer']) + (n >= right)}"}
        for n, each in enumerate(PROBLEMS)
    ]
    write_jsonl(f"{name}.jsonl", rows)
    arguments = ["--benchmark", "toy", "--data", "toy.jsonl", "--samples", f"{name}.jsonl", "-o", name]
    code, _, err = run(capsys, *arguments, *more)
    assert code == 0, err
    return json.loads(Path(name, "results.json").read_text())


def test_it_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--list")
    assert code == 0 and re.search(r"\btoy\b", out)


def test_its_settings_are_read_from_a_recipe_and_written_back(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    recipe = read_recipe(path, ["stage.code.evaluate.toy.problems=all"])
    assert recipe.evaluate.own(ToySettings) == ToySettings(problems=6)
    assert recipe.stage[0].evaluate.own(ToySettings) == ToySettings(problems=None, max_new_tokens=4)
    write_recipe(recipe, tmp_path / "written.toml")
    assert read_recipe(tmp_path / "written.toml") == recipe == make_recipe(to_data(recipe))
    with pytest.raises(UserError, match=r"evaluate\.toy\.problem: unknown key; did you mean 'problems'"):
        read_recipe(path, ["evaluate.toy.problem=3"])
    with pytest.raises(UserError, match=r"evaluate\.toy\.problems: must be > 0"):
        read_recipe(path, ["evaluate.toy.problems=0"])


def test_plan_reckons_with_it(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    recipe = read_recipe(path)
    assert evaluation_tokens(recipe.evaluate) == (6 * 5, 6 * 8)
    assert evaluation_tokens(recipe.stage[0].evaluate) == (6 * 5, 6 * 2)


def test_its_result_has_figures_its_own_settings_and_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    results = measured(capsys, "a", 6, "--set", "toy.problems=8")
    (figures,) = results["models"].values()
    assert figures["toy"]["pass@1"]["value"] == 6 / 8 and figures["toy"]["nearness"]["value"] == 7 / 8
    assert set(figures["toy"]) == {"pass@1", "nearness", "nearness_even", "nearness_odd"}
    settings = results["benchmarks"]["toy"]["settings"]
    # How a model is asked is not known of samples that were given.
    assert settings == {"seed": 0, "limit": None, "toy.problems": 8}
    assert "Toy: sums" in Path("a/report.md").read_text() and list(Path("a/problems").iterdir())
    code, _, err = run(
        capsys, "--benchmark", "toy", "--samples", "a.jsonl", "--set", "toy.level=1", "-o", "x"
    )
    assert code == 2 and "toy.level: unknown key" in err


def test_a_model_is_asked_by_its_settings(tokenizer: Any, oracle: Any, measure: Any, tmp_path: Path) -> None:
    known = {each["prompt"]: each["answer"] for each in PROBLEMS}
    settings = EvaluateSettings(toy={"problems": 5, "max_new_tokens": 3}, seed=1)
    result, rows = measure(
        "toy", oracle(tokenizer, known.__getitem__), settings, data={"toy": tmp_path / "toy.jsonl"}
    )
    assert len(rows) == 5 and result.metrics["pass@1"].value == 1
    assert {"toy.problems": 5, "toy.max_new_tokens": 3, "temperature": 0.0}.items() <= result.about[
        "settings"
    ].items()


def test_two_models_are_compared_by_each_of_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    measured(capsys, "a", 2)
    measured(capsys, "b", 7)
    (compared,) = compare(Path("a"), Path("b")).benchmarks
    differences = {each.metric: each.difference for each in compared.differences}
    assert not compared.left_out and set(differences) == {
        "pass@1",
        "nearness",
        "nearness_even",
        "nearness_odd",
    }
    assert differences["pass@1"].value == 5 / 8 and differences["nearness"].value == 2.5 / 8
    assert [place.name for place in compared.gained] == [f"toy/{n}" for n in range(2, 7)]


def test_a_cascades_report_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    models = []
    for name, right in (("base", 2), ("code", 7)):
        measured(capsys, name, right)
        figures = read_evaluation(Path(name)).benchmarks["toy"].metrics
        result = BenchmarkResult("toy", dict(figures), answered_problems(Path(name), "toy"))
        models.append(ModelReport(name, None if name == "base" else "base", name, results={"toy": result}))
    columns = [(column.metric, column.title, column.percent) for column in table_columns(models)]
    assert columns == [("nearness", "Sums, nearness", False), ("pass@1", "Toy: sums", True)]


def test_its_texts_are_kept_out_of_corpora(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def locate(name: str, data: Any, given: Path | None) -> list[Path]:
        if name != "toy":
            raise UserError("is not here")
        return [tmp_path / "toy.jsonl"]

    monkeypatch.setattr(texts_module, "locate_data", locate)
    monkeypatch.setattr(texts_module, "is_available_offline", lambda data: data is toy_benchmark.DATA)
    found = benchmark_texts()
    assert "toy" in found.checked and "toy/3/prompt" in found.texts
