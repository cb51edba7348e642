"""``codecascade eval``: what it writes, what it says, how it is stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import Server, answered
from eval_command import SAMPLES, results, rows, run, write_problems

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.generation.local_backend import LocalBackend
from codecascade.ground.files.json_lines import write_jsonl


@pytest.fixture(autouse=True)
def in_a_folder_with_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_problems()


def test_a_model_is_measured_once(capsys: pytest.CaptureFixture[str], model: str) -> None:
    arguments = [
        model,
        "--benchmark",
        "humaneval,key_retrieval",
        "--data",
        "humaneval=HumanEval.jsonl",
        "-o",
        "out",
    ]
    arguments += ["--set", "humaneval.max_new_tokens=4", "--set", "key_retrieval.lengths=[300]"]
    arguments += ["--set", "key_retrieval.examples=2", "--name", "Tiny"]
    code, out, err = run(capsys, *arguments)
    assert code == 0, err
    assert "humaneval" in out and "pass@1" in out and "512@0" not in out and "300@0.4" in out
    found = results("out")
    assert {"models", "cost", "versions"} <= set(found)
    assert set(found["models"]["Tiny"]) == {"humaneval", "key_retrieval"}
    assert found["models"]["Tiny"]["humaneval"]["pass@1"].keys() == {"value", "low", "high", "n"}
    assert found["models"]["Tiny"]["humaneval"]["pass@1"]["n"] == 4
    assert found["model"]["precision"] and len(found["model"]["revision"]) == 16
    assert found["benchmarks"]["humaneval"]["settings"]["temperature"] == 0
    assert found["cost"]["Tiny"]["generated_tokens"] > 0 and "codecascade eval" in found["command"]
    assert {"task_id", "completion", "passed", "outcome", "detail"} <= rows("out")[0].keys()
    assert len(rows("out")) == 4 and len(rows("out", "key_retrieval")) == 6
    assert Path("out/report.md").exists() and Path("out/report.html").exists()
    written = Path("out/samples/humaneval.jsonl").stat().st_mtime_ns
    assert run(capsys, *arguments)[0] == 0
    assert Path("out/samples/humaneval.jsonl").stat().st_mtime_ns == written
    code, _, err = run(capsys, *arguments, "--no-heal")
    assert code == 2 and "was begun with other settings (heal true, now false)" in err
    code, _, err = run(capsys, *arguments, "--seed", "3")
    assert code == 2 and "humaneval.json: was begun with other settings (seed 0, now 3)" in err
    code, _, err = run(capsys, *arguments[:-1], "Other")
    assert code == 2 and "out/results.json: holds the results of Tiny, not of Other" in err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_evaluation_goes_on(
    capsys: pytest.CaptureFixture[str], model: str, monkeypatch: pytest.MonkeyPatch, signum: int
) -> None:
    asked: list[tuple[str, int]] = []
    original = LocalBackend.complete

    def complete(self: LocalBackend, requests: Any) -> Iterator[Any]:
        for count, found in enumerate(original(self, requests), 1):
            asked.append((str(requests[found.request].prompt), found.sample))
            yield found
            if count == 5:
                os.kill(os.getpid(), signum)

    arguments = [model, "--benchmark", "humaneval", "--data", "HumanEval.jsonl", "-o", "out"]
    arguments += ["--samples-per-problem", "6", "--set", "humaneval.max_new_tokens=3"]
    whole = [*arguments[:-1], "humaneval.max_new_tokens=3"]
    whole[whole.index("out")] = "undisturbed"
    assert run(capsys, *whole)[0] == 0
    monkeypatch.setattr(LocalBackend, "complete", complete)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (128 + signum, "") and "run the same command again to continue" in err
    assert not Path("out/samples").exists() and not Path("out/results.json").exists()
    assert len(asked) == 5
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    assert run(capsys, *arguments)[0] == 0
    assert len(asked) == len(set(asked)) == 24
    assert rows("out") == rows("undisturbed")


def test_the_list_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--list", "--data", "HumanEval.jsonl")
    assert code == 0 and all(name in out for name in BENCHMARKS)
    [line] = [line for line in out.splitlines() if line.startswith("humaneval ")]
    assert "MIT" in line and "yes, as named" in line
    [line] = [line for line in out.splitlines() if line.startswith("validation ")]
    assert "--corpus" in line


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def test_an_endpoint_is_measured_and_goes_on_after_trouble(
    capsys: pytest.CaptureFixture[str], server: Server
) -> None:
    def half(number: int, body: dict[str, Any]) -> Any:
        if number > 2:
            return 400, {"error": {"message": "the machine is on fire"}}
        return 200, answered(body, "\n    return a + 2\n")

    server.behave = half
    arguments = [
        "--endpoint",
        server.url.replace("://", "://me:secret@"),
        "--model",
        "small",
        "--benchmark",
        "humaneval",
        "--concurrency",
        "1",
    ]
    arguments += ["--data", "HumanEval.jsonl", "-o", "out"]
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "") and "refuses a request (400: the machine is on fire)" in err
    assert "does not say whether its model has a chat format" in err
    server.behave = lambda number, body: (200, answered(body, "\n    return a + 2\n"))
    code, _, err = run(capsys, *arguments, "--chat", "never")
    assert (
        code == 2 and 'was begun with other settings (chat "auto", now "never")' in err and "chats" not in err
    )
    assert run(capsys, *arguments)[0] == 0
    assert len([path for path, _ in server.requests]) == 3 + 2, "two answers were kept"
    assert [row["passed"] for row in rows("out")] == [False, False, True, False]
    assert results("out")["model"] == {"endpoint": "small", "address": server.url}
    assert f"--endpoint {server.url} " in results("out")["command"]
    assert not [path for path in Path("out").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    code, _, err = run(capsys, *arguments, "--model", "big")
    assert code == 2 and "serves no model 'big'; it has small, other" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name benchmarks: --benchmark"),
        (["MODEL", "--benchmark", "humaneval"], "name a folder for the results: -o DIR"),
        (
            ["--benchmark", "humaneval", "-o", "out"],
            "name a MODEL, --endpoint URL --model NAME, or --samples FILE",
        ),
        (
            ["MODEL", "--benchmark", "humanevel", "-o", "out"],
            "no benchmark 'humanevel'; did you mean 'humaneval'?",
        ),
        (["MODEL", "--benchmark", "humaneval", *SAMPLES], "MODEL and --samples exclude each other"),
        (["--benchmark", "humaneval", "--endpoint", "http://x", "-o", "out"], "--model NAME belong together"),
        ([*SAMPLES, "--benchmark", "humaneval,mbpp"], "no file has samples of mbpp; name it: NAME=FILE"),
        ([*SAMPLES, "--benchmark", "humaneval", "--limit", "3"], "--limit and --samples exclude"),
        (["MODEL", "--benchmark", "validation", "-o", "out"], "validation: measures on held-out documents"),
        (
            [*SAMPLES[:2], "--benchmark", "perplexity", "--data", ".", "-o", "out"],
            "only a model in memory gives",
        ),
        (["MODEL", "--benchmark", "perplexity", "-o", "out"], "perplexity: needs files"),
        (
            ["MODEL", "--benchmark", "mbpp", "-o", "out"],
            "name a local copy: --data mbpp=PATH, a file such as mbpp",
        ),
        (
            ["MODEL", "--benchmark", "mbpp", "--data", "none", "-o", "out"],
            "none: --data: there is no such file",
        ),
        (["MODEL", "--benchmark", "mbpp", "--data", "mbqp=.", "-o", "out"], "'mbqp'; did you mean 'mbpp'?"),
        (
            ["MODEL", "--benchmark", "mbpp,gsm8k", "--data", "HumanEval.jsonl", "-o", "out"],
            "HumanEval.jsonl: is the data of none of the benchmarks by its name",
        ),
        (["MODEL", "--benchmark", "mbpp", "--data", "mbpp=.", "-o", "out"], ".: holds no data of mbpp"),
        (
            ["MODEL", "--benchmark", "humaneval", "--set", "humaneval.stop=x", "-o", "out"],
            "humaneval.stop: unknown key; did you mean 'stops'?",
        ),
        (["MODEL", "--benchmark", "humaneval", "--top-p", "2", "-o", "out"], "top_p: must be <= 1"),
        (["MODEL", "--benchmark", "humaneval", "--corpus", ".", "-o", "out"], ".: is not a corpus"),
        (["absent", "--benchmark", "humaneval", "--data", "HumanEval.jsonl", "-o", "out"], "absent"),
        (
            ["--benchmark", "humaneval", "--endpoint", "http://127.0.0.1:9", "--model", "x", "-o", "out"],
            "reached",
        ),
        (
            [*SAMPLES[2:], "--samples", "wrong.jsonl", "--benchmark", "humaneval"],
            "wrong.jsonl:2: task_id: is no task",
        ),
        (
            [*SAMPLES[2:], "--samples", "torn.jsonl", "--benchmark", "humaneval"],
            "torn.jsonl:1: is not valid JSON",
        ),
        (
            [*SAMPLES[2:], "--samples", "no.jsonl", "--benchmark", "humaneval"],
            "no.jsonl:1: completion: is missing",
        ),
        (
            [*SAMPLES[2:], "--samples", "empty.jsonl", "--benchmark", "humaneval"],
            "empty.jsonl: holds no samples",
        ),
        ([*SAMPLES[2:], "--samples", "text.txt", "--benchmark", "humaneval"], "text.txt: must be JSON lines"),
    ],
)
def test_mistakes_are_one_sentence(
    capsys: pytest.CaptureFixture[str], model: str, arguments: list[str], said: str
) -> None:
    good = {"task_id": "HumanEval/0", "completion": "x"}
    write_jsonl("wrong.jsonl", [good, {**good, "task_id": "HumanEval/99"}])
    write_jsonl("no.jsonl", [{"task_id": "HumanEval/0", "text": "x"}])
    Path("torn.jsonl").write_text('{"task_id": "HumanEval/0", "comp')
    Path("empty.jsonl").write_text("\n")
    Path("text.txt").write_text("x")
    code, out, err = run(capsys, *(model if argument == "MODEL" else argument for argument in arguments))
    assert (code, out) == (2, ""), err
    assert said in err and "Traceback" not in err
    assert not Path("out/results.json").exists()
