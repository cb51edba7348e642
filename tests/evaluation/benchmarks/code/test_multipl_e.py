"""MultiPL-E's form, with hand-made rows: Bash is here wherever the tests run, the compilers may not be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.code import multipl_e
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.driver import verdict_on_unasked
from codecascade.evaluation.running.execution import verdict_on
from codecascade.evaluation.scores import metrics_of
from codecascade.evaluation.task import EvaluationContext, Task, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.sandbox.languages.table import canonical_name, why_unusable
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.sandbox import Sandbox

ROW: dict[str, Any] = {
    "name": "HumanEval_1000_double_it",
    "language": "cpp",
    "prompt": "#include<assert.h>\n// Twice the value.\nlong double_it(long value) {\n",
    "doctests": "transform",
    "original": "none",
    "prompt_terminology": "reworded",
    "tests": "}\nint main() {\n    assert(double_it(2) == 4);\n}\n",
    "stop_tokens": ["\n}"],
}


def tasks(folder: Path, *rows: dict[str, Any], language: str = "cpp") -> list[Task]:
    (folder / f"humaneval-{language}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    make = BENCHMARKS[f"multipl_e_{language}"].tasks
    assert make is not None
    return make(EvaluationContext(EvaluateSettings(), data=folder))


def test_the_rows_own_stops_end_a_completion_and_the_tests_follow_it(tmp_path: Path) -> None:
    (task,) = tasks(tmp_path, ROW)
    assert task.task_id == "HumanEval_1000_double_it" and task.fields == {"language": "cpp"}
    assert task.prompt == TextPrompt(ROW["prompt"], ("\n}", "\n```"))
    completion = task.completion("    return 2 * value;\n}\nint main() {}", "stop")
    assert completion == "    return 2 * value;" and task.programs is not None
    (program,) = task.programs(completion)
    assert program.language == "cpp"
    assert program.source == f"{ROW['prompt']}    return 2 * value;\n{ROW['tests']}"


def test_gos_rows_name_a_file_of_tests(tmp_path: Path) -> None:
    row = {**ROW, "language": "go_test.go", "stop_tokens": ["\nfunc", "struct", "\n// "]}
    (task,) = tasks(tmp_path, row, language="go")
    assert task.programs is not None and task.fields == {"language": "go"}
    (program,) = task.programs("    return 2 * value\n}\n")
    assert program.language == "go"


def test_what_was_not_run_is_neither_failed_nor_counted(tmp_path: Path) -> None:
    (task,) = tasks(tmp_path, ROW)
    missing = Outcome("not_started", "there is no g++; install the package g++")
    rows = [
        {"task_id": "a", **verdict_on(task, "", [Outcome("passed")])},
        {"task_id": "b", **verdict_on(task, "", [Outcome("failed", "exit status 1")])},
        {"task_id": "c", **verdict_on(task, "", [missing])},
        {"task_id": "d", **verdict_on_unasked(task)},
    ]
    assert [row["passed"] for row in rows] == [True, False, None, False]
    figure = metrics_of(multipl_e.scores(rows))["pass@1"]
    assert (figure.value, figure.n) == (pytest.approx(1 / 3), 3)
    (note,) = multipl_e.notes("cpp", rows, EvaluationContext(EvaluateSettings()))
    assert note.startswith("1 programs in C++ were not run") and "install the package g++" in note
    assert not multipl_e.notes("cpp", rows[:2], EvaluationContext(EvaluateSettings()))


@pytest.mark.skipif(why_unusable("cpp") is not None, reason="needs g++")
def test_answers_whose_binaries_can_not_start_are_wrong_ones(tmp_path: Path) -> None:
    row = {**ROW, "stop_tokens": ["\n}"]}
    (task,) = tasks(tmp_path, row)
    wrong = '    __attribute__((used, section(".interp"))) static const char rubbish[] = {120};\n    return '
    completions = ["    return 2 * value;", *(f"{wrong}{number};" for number in range(4, 9))]
    assert task.programs is not None
    with Sandbox("weak") as sandbox:
        rows = [
            {
                "task_id": f"problem {number}",
                **verdict_on(task, completion, list(sandbox.run_many(task.programs(completion)))),
            }
            for number, completion in enumerate(completions)
        ]
    figure = metrics_of(multipl_e.scores(rows))["pass@1"]
    assert (figure.value, figure.n) == (pytest.approx(1 / 6), 6), rows
    assert all("can't be executed" in row["detail"] for row in rows[1:])


@pytest.mark.skipif(why_unusable("bash") is not None, reason="needs bash")
@pytest.mark.parametrize(
    ("completion", "passed"),
    [
        ('    echo $(( 2 * $1 ))\n}\necho "more"', True),
        ("    echo $1", False),
        ("    exit 0", False),
        ('    echo $(( 2 * $1 ))\n    [[ "$1" == 3 ]] && kill $$', False),
    ],
)
def test_in_the_sandbox(tmp_path: Path, completion: str, passed: bool) -> None:
    prompt = "#!/bin/bash\n# Twice the value.\ndouble_it() {\n"
    tests = """}
candidate() {
    double_it "$@"
}
set -e
run_test() {
    [[ $(candidate "2") = "4" ]]
    [[ $(candidate "3") = "6" ]]
}
run_test
"""
    row = {**ROW, "language": "sh", "prompt": prompt, "tests": tests}
    (task,) = tasks(tmp_path, row, language="sh")
    completion = task.completion(completion, "stop")
    assert task.programs is not None
    with Sandbox("weak") as sandbox:
        verdict = verdict_on(task, completion, list(sandbox.run_many(task.programs(completion))))
    assert verdict["passed"] is passed


def test_several_samples(tmp_path: Path) -> None:
    rows = [{"task_id": "a", "passed": number < 3} for number in range(10)]
    rows += [{"task_id": "b", "passed": None}] * 10
    found = metrics_of(multipl_e.scores(rows))
    assert (
        found["pass@1"].value == pytest.approx(0.3)
        and found["pass@10"].value == 1.0
        and found["pass@1"].n == 1
    )


def test_the_sandbox_knows_every_language() -> None:
    names = {canonical_name(language) for language in multipl_e.LANGUAGES}
    assert len(names) == len(multipl_e.LANGUAGES) and {"cpp", "java", "php"} <= names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"language": "java"}, r"cpp\.jsonl:2: language: is a problem in 'java', not in 'cpp'"),
        ({"stop_tokens": "\n}"}, r"cpp\.jsonl:2: stop_tokens: must be list"),
        ({"stop_tokens": [""]}, r"cpp\.jsonl:2: stop_tokens: must be a list of texts"),
        ({"tests": None}, r"cpp\.jsonl:2: tests: must be str"),
    ],
)
def test_malformed_rows_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tasks(tmp_path, ROW, {**ROW, **change})


def test_problem_numbers() -> None:
    assert multipl_e.problem_number("HumanEval_23_strlen") == multipl_e.problem_number("HumanEval/23") == 23
    assert multipl_e.problem_number("MBPP/3") is None


STOPS = ["\n}"]


@pytest.mark.parametrize(
    "text", ["    return 1;", "    return 1;\n}\n", "    return 1;\n}\n\nint main() {\n}\n"]
)
def test_given_completions_are_cut_at_the_rows_stops(tmp_path: Path, text: str) -> None:
    [task] = tasks(tmp_path, ROW | {"stop_tokens": STOPS})
    assert (
        task.given(text) == task.completion(text, "stop") == task.given(task.given(text)) == "    return 1;"
    )
    assert task.given(task.from_solution(ROW["prompt"] + text)) == "    return 1;"
