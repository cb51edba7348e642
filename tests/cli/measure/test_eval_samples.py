"""``codecascade eval --samples``: files of samples that others have made."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from eval_command import PROBLEMS, SAMPLES, results, rows, run, write_problems

from codecascade import cli
from codecascade.ground.files.json_lines import write_jsonl


@pytest.fixture(autouse=True)
def in_a_folder_with_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_problems()


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


def test_of_the_users_own_files_the_benchmarks_own_number_is_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Published problems are all taken. Of files that would be a problem for each line."""
    folder = Path("own")
    folder.mkdir()
    (folder / "a.py").write_text("def made_here():\n    return 1\n")
    for number in range(103):
        (folder / f"use{number}.py").write_text("from a import made_here\n\nfound = made_here()\n")
    ids = [f"own/use{number}.py:3:9:made_here" for number in range(103)]
    write_jsonl("lines.jsonl", [{"task_id": each, "completion": "", "format": "psm_none"} for each in ids])
    arguments = ["--samples", "lines.jsonl", "--benchmark", "repository_completion", "--data", "own"]
    for more, known in (((), 100), (("--set", "repository_completion.problems=all"), 103)):
        code, _, err = run(capsys, *arguments, "--skip-unknown", *more, "-o", f"out{known}")
        assert code == 0, err
        assert results(f"out{known}")["benchmarks"]["repository_completion"]["tasks"] == known


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
        (
            ["--samples", "two.jsonl"],
            "two.jsonl: --samples: may be of mbpp, mbpp_zero_shot, mbpp_plus; say whose it is",
        ),
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
    # Of both in one file, as a model is asked by infilling.layouts: each has its own figures.
    write_jsonl("lines.jsonl", found)
    code, _, err = run(capsys, *arguments, "both")
    assert code == 0, err
    figures = results("both")["models"]["lines"]["infilling_single_line"]
    assert {"exact_match", "exact_match_left_to_right"} <= set(figures)
    assert all(figure["n"] == 4 for figure in figures.values())
