"""``codecascade eval``: what it writes, what it says, how it is stopped."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import Server, answered

from codecascade import cli
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.generation.local_backend import LocalBackend
from codecascade.ground.json_lines import write_jsonl

PROBLEMS = [
    {
        "task_id": f"HumanEval/{number}",
        "prompt": f'def add_{number}(a):\n    """Add {number}."""\n',
        "entry_point": f"add_{number}",
        "canonical_solution": f"    return a + {number}\n",
        "test": f"def check(candidate):\n    assert candidate(1) == {number + 1}\n",
    }
    for number in range(4)
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HumanEval's file, and samples: of three tasks, one of them wrong."""
    monkeypatch.chdir(tmp_path)
    write_jsonl("HumanEval.jsonl", PROBLEMS)
    write_jsonl(
        "samples.jsonl",
        [
            {
                "task_id": "HumanEval/2",
                "completion": "    return a + 2\n",
                "mine": [1],
                "tokens": ["a"],
                "stderr": "old",
            },
            {
                "task_id": "HumanEval/0",
                "completion": "    return a + 9\n",
                "passed": "unknown",
                "sample": "x",
            },
            {"task_id": "HumanEval/1", "completion": "    return b + 1\n"},
        ],
    )


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["eval", *arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, " ".join(err.split())


def rows(folder: str, name: str = "humaneval") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "samples", f"{name}.jsonl").read_text().splitlines()]


def results(folder: str) -> Any:
    return json.loads(Path(folder, "results.json").read_text())


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


def test_given_samples_are_scored_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--samples", "samples.jsonl", "--benchmark", "humaneval", "--data", "HumanEval.jsonl"]
    code, out, err = run(capsys, *arguments, "-o", "out")
    assert code == 0, err
    found = rows("out")
    assert [row["task_id"] for row in found] == ["HumanEval/2", "HumanEval/0", "HumanEval/1"]
    assert [row["passed"] for row in found] == [True, False, False]
    assert found[0]["mine"] == [1] and not {"finish_reason", "stderr"} & found[0].keys()
    assert [row["detail"] for row in found[1:]] == ["AssertionError", "NameError: name 'b' is not defined"]
    metric = results("out")["models"]["samples"]["humaneval"]["pass@1"]
    assert (metric["value"], metric["n"]) == (pytest.approx(1 / 3), 3)
    assert results("out")["benchmarks"]["humaneval"]["missing"] == 1
    assert "missing tasks" in out and "1 of 4 tasks have no sample in the file" in err
    code, _, err = run(capsys, *arguments, "-o", "other", "--require-complete")
    assert code == 2 and "samples.jsonl: has no sample of 1 of 4 tasks" in err


def test_half_a_surrogate_pair_and_control_characters_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A model's bytes come back as JSON has them; neither programs nor pages can hold them as they are."""
    texts = ["    return '\ud800'\n", "    return '\x00\x1b'\n"]
    Path("samples.jsonl").write_text(
        "".join(
            json.dumps({"task_id": f"HumanEval/{n}", "completion": text}) + "\n"
            for n, text in enumerate(texts)
        )
    )
    code, _, err = run(capsys, "--benchmark", "humaneval", *SAMPLES)
    assert code == 0, err
    assert [(row["completion"], row["outcome"]) for row in rows("out")] == [
        (text, "failed") for text in texts
    ]
    assert "\\ud800" in "".join(page.read_text() for page in Path("out/problems/humaneval").iterdir())


def test_human_evals_and_evalplus_forms_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Whole solutions, compressed, several a task: the estimator is over problems."""
    lines = [
        {"task_id": problem["task_id"], "solution": text}
        for problem in PROBLEMS
        for text in (
            problem["prompt"] + problem["canonical_solution"],
            f"def {problem['entry_point']}(a): return 0",
        )
    ]
    Path("all.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    )
    arguments = ["--samples", "all.jsonl.gz", "--benchmark", "humaneval", "--data", "HumanEval.jsonl"]
    assert run(capsys, *arguments, "-o", "out", "--require-complete", "--name", "canonical")[0] == 0
    assert [row["passed"] for row in rows("out")] == [True, False] * 4
    assert [row["sample"] for row in rows("out")] == [0, 1] * 4
    assert results("out")["models"]["canonical"]["humaneval"]["pass@1"]["value"] == 0.5


def body(number: int) -> str:
    return f"    return a + {number}\n"


def test_files_of_samples_by_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    code = "def add(a):\n    return a + 1\n"
    write_jsonl(
        "mbpp-data.jsonl",
        [
            {"task_id": n, "text": "Add.", "code": code, "test_list": ["assert add(1) == 2"]}
            for n in range(2, 13)
        ],
    )
    write_jsonl("one.jsonl", [{"task_id": f"HumanEval/{n}", "completion": body(n)} for n in range(4)])
    # EvalPlus' file has tasks that the paper's test set lacks.
    write_jsonl("two.jsonl", [{"task_id": f"Mbpp/{n}", "solution": code} for n in (2, 3, 11, 12)])
    data = ["--data", "humaneval=HumanEval.jsonl", "--data", "mbpp=mbpp-data.jsonl"]
    ways = (
        (["one.jsonl", "two.jsonl"], ["--benchmark", "humaneval,mbpp"]),
        (["mbpp=two.jsonl", "humaneval=one.jsonl"], []),
        (["mbpp=two.jsonl", "one.jsonl"], ["--benchmark", "mbpp,humaneval"]),
    )
    for number, (files, named) in enumerate(ways):
        arguments = [
            *(word for file in files for word in ("--samples", file)),
            *named,
            *data,
            "-o",
            f"out{number}",
        ]
        found, _, err = run(capsys, *arguments)
        assert (
            found == 2
            and "two.jsonl:1: task_id: is no task of the benchmark: 'Mbpp/2'; --skip-unknown" in err
        )
        found, _, err = run(capsys, *arguments, "--skip-unknown")
        assert (
            found == 0 and "mbpp: 2 samples of the file are of tasks that the benchmark does not have" in err
        ), err
        assert [row["passed"] for name in ("humaneval", "mbpp") for row in rows(f"out{number}", name)] == [
            True
        ] * 6
    for arguments, said in (
        (
            ["--samples", "two.jsonl", "--samples", "one.jsonl", "--benchmark", "humaneval"],
            "two.jsonl: --samples: is of none",
        ),
        (["--samples", "two.jsonl"], "two.jsonl: --samples: may be of mbpp, mbpp_zero_shot; say whose it is"),
        (
            ["--samples", "mbpp=two.jsonl", "--benchmark", "humaneval"],
            "is of mbpp, which --benchmark does not name",
        ),
        (
            ["--samples", "mbpp=two.jsonl", "--samples", "mbpp=one.jsonl"],
            "one.jsonl: --samples: mbpp has samples already, in two",
        ),
        (
            ["--samples", "one.jsonl", "--samples", "mbpp=two.jsonl", "--benchmark", "humaneval,mbpp,gsm8k"],
            "no file has samples of gsm8k",
        ),
        (["--samples", "mbpp=none.jsonl"], "none.jsonl: --samples: there is no such file"),
        (
            ["--samples", "two.jsonl", "--benchmark", "humaneval", "--skip-unknown"],
            "holds no samples of humaneval, but 4 of other",
        ),
    ):
        found, _, err = run(capsys, *arguments, *data, "-o", "no")
        assert found == 2 and said in err and not Path("no").exists(), err


@pytest.mark.parametrize(
    ("label", "refused"),
    [
        ({"language": "php"}, True),
        ({"language": "Haskell"}, True),
        ({"language": "Python3"}, False),
        ({"benchmark": "mbpp"}, True),
        ({"benchmark": "humaneval_plus"}, True),
        ({"benchmark": "HumanEval"}, False),
        ({"dataset": "openai/openai_humaneval"}, False),
        ({"dataset": "humaneval-php"}, True),
        ({"dataset": "nuprl/MultiPL-E"}, True),
        ({"dataset": "of my own"}, False),
    ],
)
def test_rows_that_say_something_else_are_refused(
    capsys: pytest.CaptureFixture[str], label: dict[str, str], refused: bool
) -> None:
    write_jsonl("one.jsonl", [{"task_id": "HumanEval/0", "completion": body(0), **label}])
    found, _, err = run(
        capsys, "--samples", "one.jsonl", "--benchmark", "humaneval", "--data", "HumanEval.jsonl", "-o", "out"
    )
    assert found == (2 if refused else 0), err
    [(key, value)] = label.items()
    assert not refused or f"one.jsonl:1: {key}: is {value!r}" in err


def test_whole_programs_and_bodies_with_a_byte_order_mark(capsys: pytest.CaptureFixture[str]) -> None:
    function = "def add_1(a):\n    return a + 1\n"
    write_jsonl(
        "one.jsonl",
        [
            {"task_id": "HumanEval/1", key: text}
            for key, text in (
                ("solution", f"\ufeff{function}"),
                ("solution", f"from __future__ import annotations\n\n{function}"),
                (
                    "completion",
                    f"\n#!/usr/bin/python\n# coding: latin-1\n'é'\nfrom __future__ import annotations\n{function}",
                ),
                ("completion", f"\ufeff{body(1)}"),
            )
        ],
    )
    given = Path("one.jsonl").read_bytes()
    Path("one.jsonl").write_bytes(b"\xef\xbb\xbf" + given)
    arguments = ["--samples", "one.jsonl", "--benchmark", "humaneval", "--data", "HumanEval.jsonl"]
    assert run(capsys, *arguments, "-o", "out")[0] == 0
    assert [row["passed"] for row in rows("out")] == [True] * 4


def test_names_with_brackets_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    name = "[/x] [bold]y[/bold]"
    write_jsonl("[/b].jsonl", [{"task_id": "HumanEval/0", "completion": body(0)}])
    arguments = ["--samples", "[/b].jsonl", "--benchmark", "humaneval", "--data", "HumanEval.jsonl"]
    found, out, err = run(capsys, *arguments, "-o", "[/out]", "--name", name)
    assert found == 0 and name in out and "[/out]: see" in err, err
    cli_compare = ["compare", "[/out]", "[/out]", "-o", "[/c]"]
    with pytest.raises(SystemExit) as end:
        cli.main(cli_compare)
    assert not end.value.code and "[/c]" in capsys.readouterr().err


def test_given_infillings_keep_their_layout(capsys: pytest.CaptureFixture[str]) -> None:
    """What was asked left to right never counts as infilling."""
    found = [
        {
            "task_id": f"SingleLineInfilling/HumanEval/{number}/L0",
            "completion": f"    return a + {number}\n",
            "format": layout,
        }
        for layout in ("left_to_right", "spm")
        for number in range(4)
    ]
    arguments = ["--samples", "lines.jsonl", "--benchmark", "infilling_single_line"]
    arguments += ["--data", "HumanEval.jsonl", "-o"]
    for count, metrics in (
        (4, {"exact_match_left_to_right": 1.0, "pass@1_left_to_right": 1.0}),
        (-4, {"exact_match": 1.0, "pass@1": 1.0}),
    ):
        write_jsonl("lines.jsonl", found[:count] if count > 0 else found[count:])
        code, out, err = run(capsys, *arguments, f"out{count}")
        assert code == 0, err
        figures = results(f"out{count}")["models"]["lines"]["infilling_single_line"]
        assert {name: figures[name]["value"] for name in metrics} == metrics
        assert ("exact_match" in figures) == (count < 0), "no figure where nothing was asked"
        assert ("can't be asked to infill" in out) == (count > 0) and " 0.0%" not in out
    assert {row["format"] for row in rows("out4", "infilling_single_line")} == {"left_to_right"}
    write_jsonl("lines.jsonl", found)
    code, _, err = run(capsys, *arguments, "mixed")
    assert code == 2 and "lines.jsonl:5: format: some samples saw the suffix and some did not" in err


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
        server.url,
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
    assert "does not tell whether its model chats" in err
    server.behave = lambda number, body: (200, answered(body, "\n    return a + 2\n"))
    code, _, err = run(capsys, *arguments, "--chat", "never")
    assert (
        code == 2 and 'was begun with other settings (chat "auto", now "never")' in err and "chats" not in err
    )
    assert run(capsys, *arguments)[0] == 0
    assert len([path for path, _ in server.requests]) == 3 + 2, "two answers were kept"
    assert [row["passed"] for row in rows("out")] == [False, False, True, False]
    assert results("out")["model"] == {"endpoint": "small", "address": server.url}
    code, _, err = run(capsys, *arguments, "--model", "big")
    assert code == 2 and "serves no model 'big'; it has small, other" in err


SAMPLES = ["--samples", "samples.jsonl", "--data", "HumanEval.jsonl", "-o", "out"]


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
