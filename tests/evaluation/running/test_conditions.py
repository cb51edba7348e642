"""What is kept of how a benchmark was run, beside its settings."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.analysis.evaluation_folder import read_evaluation
from codecascade.evaluation.analysis.paper_comparison import paper_comparisons
from codecascade.evaluation.benchmarks.code.humaneval import DATA as HUMANEVAL
from codecascade.evaluation.data import load_records
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.conditions import conditions
from codecascade.evaluation.running.results_file import write_results
from codecascade.evaluation.running.runner import Inputs, evaluate
from codecascade.evaluation.running.work import BenchmarkWork, GivenSamples
from codecascade.evaluation.task import ChatPrompt, EvaluatedModel, InfillingPrompt, Message, Task, TextPrompt
from codecascade.generation.endpoint import Endpoint
from codecascade.generation.local_backend import LocalBackend
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.sandbox.program import Program
from codecascade.tokens.tokenizer import Tokenizer

Rows = list[dict[str, Any]]


def found(
    tasks: list[Task], rows: Rows | None = None, *, model: EvaluatedModel | None = None, backend: Any = None
) -> dict[str, Any]:
    return conditions(
        BenchmarkWork(tasks, len(tasks)),
        rows or [],
        model=model or EvaluatedModel(),
        backend=backend,
        sandbox=None,
        source="data",
    )


def test_prompts_that_do_not_stay_as_they_are_are_counted(tokenizer: Tokenizer) -> None:
    longer = next(piece.decode() for piece in tokenizer.pieces if len(piece) > 3 and piece.isalpha())
    tasks = [
        Task("inside a token", TextPrompt(longer[:-1]), 1),
        Task("not healed", TextPrompt(longer[:-1], heal=False), 1),
        Task("a gap", InfillingPrompt(longer[:-1], "", "spm"), 1),
        Task("a dialogue", ChatPrompt((Message("user", longer[:-1]),)), 1),
    ]
    counted = found(tasks, model=EvaluatedModel(tokenizer=tokenizer))
    assert counted["healed_prompts"] == {"n": 1, "of": 4} and counted["asked_in_chat"] is True
    # Without its tokenizer a server's prompts are those whose white space is held back.
    ends = [Task(text, TextPrompt(text), 1) for text in ("def f():\n", "def f():")]
    assert found(ends)["healed_prompts"] == {"n": 1, "of": 2}


def test_answers_are_counted_by_what_became_of_them() -> None:
    task = Task("a", TextPrompt("x"), 1, programs=lambda text: [Program(text)])
    rows: Rows = [
        {"task_id": "a", "finish_reason": "length", "passed": False, "outcome": "failed", "cut": True},
        {"task_id": "a", "finish_reason": "length", "passed": True, "outcome": "passed", "cut": True},
        {"task_id": "a", "finish_reason": "context", "passed": False, "outcome": "not_started"},
        {"task_id": "b", "finish_reason": "stop", "passed": None, "outcome": "not_started"},
    ]
    counted = found([task], rows[:2] + rows[3:] + rows[2:3])
    assert counted["cut_answers"] == {"n": 2, "of": 4} and counted["unasked"] == {"n": 1, "of": 4}
    assert counted["unrun"] == {"n": 1, "of": 4}, "one that was not asked has failed"
    assert found([task], rows[:2])["cut_inputs"] == {"n": 1, "of": 1}, "of inputs, not of samples"


def test_of_given_samples_nothing_is_said_of_how_they_were_made() -> None:
    task = Task("a", TextPrompt("x "), 1)
    work = BenchmarkWork([task], 1, given=GivenSamples(array("l", [0]), "", lambda: iter(())))
    counted = conditions(
        work,
        [{"task_id": "a", "finish_reason": "length", "passed": None, "outcome": "not_started"}],
        model=EvaluatedModel(),
        backend=None,
        sandbox=None,
        source="data",
    )
    assert counted == {"unrun": {"n": 1, "of": 1}, "source": "data", "other_problems": None}


def test_who_was_asked(tokenizer: Tokenizer, oracle: Any) -> None:
    model = LocalBackend(oracle(tokenizer, lambda prompt: ""), "model", {"quantisation": "Q8_0"})
    assert found([], backend=model)["quantisation"] == "Q8_0"
    assert found([], backend=model)["endpoint"] is False
    server = object.__new__(Endpoint)
    server.model, server.url = "model", "http://localhost"
    assert found([], backend=server)["endpoint"] is True and found([], backend=server)["quantisation"] is None


@pytest.mark.parametrize("confinement", ["none", "namespaces"])
def test_a_run_is_marked_in_the_table_beside_the_papers(
    ten_problems: Any, tokenizer: Tokenizer, oracle: Any, sandbox: Any, tmp_path: Path, confinement: str
) -> None:
    file, known = ten_problems
    sandbox.confinement = confinement
    backend = LocalBackend(oracle(tokenizer, known.__getitem__), "model", {"quantisation": "Q4_1"})
    inputs = Inputs(backend, sandbox=sandbox, data={"humaneval": file})
    settings = EvaluateSettings(benchmarks=("humaneval",), humaneval={"max_new_tokens": 77})
    results = evaluate(inputs, settings, folder=tmp_path / "made")
    write_results(tmp_path / "made", "model", results, about={}, command="")
    (table,) = paper_comparisons(read_evaluation(tmp_path / "made"))
    said = list(table.remarks.values())
    assert said[0] == "10 problems; the paper's benchmark has 164"
    assert any(sentence.startswith("10 of 10 problems are not the published ones") for sentence in said)
    assert ("programs were not confined" in " ".join(said)) == (confinement == "none")
    assert "the model's weights are quantised (Q4_1); the paper's are not" in said
    (silent,) = [
        sentence for sentence in said if sentence.startswith("our choices, for the paper says nothing of: ")
    ]
    assert "at most 77 tokens an answer" in silent and "HumanEval.jsonl" in silent
    own = table.own[0]
    assert own is not None and own.marks.split() == list(table.remarks)


def test_given_samples_are_marked_as_of_unknown_making(
    ten_problems: Any, sandbox: Any, tmp_path: Path
) -> None:
    file, known = ten_problems
    rows = [{"task_id": f"HumanEval/{n}", "completion": text} for n, text in enumerate(known.values())]
    write_jsonl(tmp_path / "samples.jsonl", rows)
    inputs = Inputs(
        samples={"humaneval": tmp_path / "samples.jsonl"}, sandbox=sandbox, data={"humaneval": file}
    )
    results = evaluate(inputs, EvaluateSettings(benchmarks=("humaneval",)), folder=tmp_path / "made")
    write_results(tmp_path / "made", "samples", results, about={}, command="")
    (table,) = paper_comparisons(read_evaluation(tmp_path / "made"))
    said = " ".join(table.remarks.values())
    assert "how the samples were made is not known" in said
    assert "tokens" not in said and "stop strings" not in said and "stripped" not in said


@pytest.mark.parametrize("name", ["humaneval", "infilling_single_line"])
def test_a_file_of_other_tests_is_distinguished_from_the_published_one(
    tokenizer: Tokenizer, oracle: Any, sandbox: Any, tmp_path: Path, name: str
) -> None:
    """Both have 164 problems of the same names; some other sets of HumanEval's problems have harder tests."""
    rows = [row for _, row in load_records(name, HUMANEVAL, None, {})]
    harder = [
        {**row, "test": row["test"] + "\n    assert True\n"} if place % 2 else row
        for place, row in enumerate(rows)
    ]
    settings = EvaluateSettings(benchmarks=(name,), limit=20, humaneval={"problems": 60})
    for place, content in enumerate((rows, harder)):
        write_jsonl(tmp_path / "HumanEval.jsonl", content)
        inputs = Inputs(
            LocalBackend(oracle(tokenizer, lambda prompt: ""), "model"),
            sandbox=sandbox,
            data={name: tmp_path / "HumanEval.jsonl"},
        )
        result = evaluate(inputs, settings, folder=tmp_path / f"made{place}")[name]
        other = result.about["conditions"]["other_problems"]
        assert other["of"] == 20 and (other["n"] > 0) == bool(place)
