"""Canonical solutions score 100 %, broken ones 0 %, in the sandbox: HumanEval, HumanEval+, MBPP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.code.evalplus import comparison_tests
from codecascade.evaluation.benchmarks.code.mbpp import mbpp_tasks, mbpp_zero_shot_tasks, tagged_code
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.execution import SHARED
from codecascade.evaluation.task import ChatPrompt, EvaluatedModel, EvaluationContext, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import write_json
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox

MBPP: list[dict[str, Any]] = [
    {
        "task_id": number,
        "text": f"Write a function to add {number}.",
        "code": f"def add(a):\r\n\treturn a + {number}",
        "test_list": [f"assert add(0) == {number}", f"assert add(1) == {number + 1}"],
        "test_setup_code": "start = add(0)" if number == 12 else "",
        "challenge_test_list": [],
    }
    for number in (2, 3, 4, 11, 12, 600)
]
PLUS: list[dict[str, Any]] = [
    {
        "task_id": "HumanEval/0",
        "prompt": 'def half(x):\n    """Half of x."""\n',
        "entry_point": "half",
        "canonical_solution": "    return x / 2\n",
        "base_input": [[1.0], [3.0]],
        "plus_input": [[1e300], [float("inf")]],
        "atol": 0,
    },
    {
        "task_id": "HumanEval/1",
        "prompt": 'def add(xs, y):\n    """Append y."""\n',
        "entry_point": "add",
        "canonical_solution": "    xs.append(y)\n    return xs\n",
        "base_input": [[[1], 2]],
        "plus_input": [[[], "\u2028'\n"]],
        "atol": 0,
    },
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "mbpp.jsonl", MBPP)
    write_jsonl(tmp_path / "HumanEvalPlus.jsonl", PLUS)
    return tmp_path


@pytest.fixture(scope="module")
def confined() -> Any:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize("name", ["humaneval", "humaneval_plus", "mbpp", "mbpp_zero_shot"])
def test_canonical_solutions_pass_and_broken_ones_do_not(
    name: str, files: Path, ten_problems: Any, measure: Any, confined: Any
) -> None:
    tasks = BENCHMARKS[name].tasks(EvaluationContext(EvaluateSettings(), data=files))
    broken = {
        "humaneval": "    return\n",
        "humaneval_plus": "    return\n",
        "mbpp": "",
        "mbpp_zero_shot": "add = 1",
    }
    samples = [
        {"task_id": task.task_id, "completion": text}
        for task in tasks
        for text in (task.expected, broken[name])
    ]
    write_jsonl(files / "samples.jsonl", samples)
    result, rows = measure(
        name, samples={name: files / "samples.jsonl"}, sandbox=confined, data={name: files}
    )
    assert [row["passed"] for row in rows] == [True, False] * len(tasks) and tasks
    assert result.metrics["pass@1"].value == 0.5


@pytest.mark.parametrize("name", ["humaneval", "humaneval_plus", "mbpp", "mbpp_zero_shot"])
def test_what_a_program_does_as_a_script_is_not_asked_for(
    name: str, files: Path, ten_problems: Any, measure: Any, confined: Any
) -> None:
    tasks = BENCHMARKS[name].tasks(EvaluationContext(EvaluateSettings(), data=files))
    script = "\nif __name__ == '__main__':\n    print(int(input()))\n    raise SystemExit\n"
    samples = [{"task_id": task.task_id, "completion": task.expected + script} for task in tasks[:2]]
    write_jsonl(files / "samples.jsonl", samples)
    _, rows = measure(name, samples={name: files / "samples.jsonl"}, sandbox=confined, data={name: files})
    assert [row["passed"] for row in rows] == [True, True], rows


def test_a_row_says_where_tests_ran_in_the_programs_process(files: Path, measure: Any, confined: Any) -> None:
    with_class = {
        "code": "class Node:\n    pass\ndef depth(node):\n    return 1",
        "test_list": ["assert depth(root) == 1"],
        "test_setup_code": "root = Node()\nroot.left = None",
    }
    write_jsonl(files / "mbpp.jsonl", [*MBPP[:4], {**MBPP[4], **with_class}])
    samples = [
        {"task_id": "MBPP/11", "completion": MBPP[3]["code"]},
        {"task_id": "MBPP/12", "completion": with_class["code"]},
    ]
    write_jsonl(files / "samples.jsonl", samples)
    result, rows = measure(
        "mbpp", samples={"mbpp": files / "samples.jsonl"}, sandbox=confined, data={"mbpp": files}
    )
    assert [(row["passed"], row.get("tests")) for row in rows] == [(True, None), (True, SHARED)]
    assert result.about["tests_in_process"] == 1
    assert any("1 task's tests can't run apart" in note for note in result.notes)


def test_the_sample_chooses_no_weaker_judging(files: Path, measure: Any, confined: Any) -> None:
    """Classes, tests and helpers in an answer change nothing of how it is judged."""
    cheat = "class Yes:\n    def __eq__(self, other): return True\ndef add(a): return Yes()\nNode = Yes"
    write_jsonl(files / "samples.jsonl", [{"task_id": "MBPP/11", "completion": cheat}])
    _, rows = measure(
        "mbpp", samples={"mbpp": files / "samples.jsonl"}, sandbox=confined, data={"mbpp": files}
    )
    assert [(row["passed"], row.get("tests")) for row in rows] == [(False, None)]


# ---- HumanEval+


def outcomes(row: dict[str, Any], body: str, sandbox: Any, tmp_path: Path) -> list[bool]:
    """Whether the base inputs pass, and the others."""
    write_jsonl(tmp_path / "one.jsonl", [row])
    [task] = BENCHMARKS["humaneval_plus"].tasks(
        EvaluationContext(EvaluateSettings(), data=tmp_path / "one.jsonl")
    )
    return [outcome.passed for outcome in sandbox.run_many(task.programs(body))]


def test_more_inputs_find_what_the_first_do_not(files: Path, measure: Any, confined: Any) -> None:
    samples = [
        {"task_id": "HumanEval/0", "completion": "    return min(x, 100.0) / 2\n"},
        {"task_id": "HumanEval/1", "completion": "    return xs + [y]\n"},
    ]
    write_jsonl(files / "samples.jsonl", samples)
    data = {"humaneval_plus": files / "HumanEvalPlus.jsonl"}
    result, rows = measure(
        "humaneval_plus", samples={"humaneval_plus": files / "samples.jsonl"}, sandbox=confined, data=data
    )
    assert [(row["base_passed"], row["passed"]) for row in rows] == [(True, False), (True, True)]
    assert {name: metric.value for name, metric in result.metrics.items()} == {
        "pass@1": 0.5,
        "pass@1_base": 1.0,
    }
    assert rows[0]["detail"] == "AssertionError: wrong result"


@pytest.mark.parametrize(
    ("body", "right"),
    [
        # Floats: nearly.
        ("    return x / 2 + 1e-7\n", True),
        ("    return x / 2 + 1e-3\n", False),
        ("    return str(x / 2)\n", False),
        ("    while True: pass\n", False),
    ],
)
def test_floats_are_compared_nearly_and_an_input_has_its_time(
    body: str, right: bool, confined: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codecascade.evaluation.benchmarks.code.evalplus.INPUT_SECONDS", 0.3)
    assert outcomes({**PLUS[0], "plus_input": []}, body, confined, tmp_path) == [right, True]


@pytest.mark.parametrize(("body", "right"), [("    return x / 2\n", True), ("    return 7.0\n", False)])
def test_only_infinity_is_near_infinity(body: str, right: bool, confined: Any, tmp_path: Path) -> None:
    row = {**PLUS[0], "base_input": [[float("inf")]], "plus_input": [[float("-inf")]]}
    assert outcomes(row, body, confined, tmp_path) == [right, right]


def test_any_root_is_a_zero(confined: Any, tmp_path: Path) -> None:
    row = {
        "task_id": "HumanEval/32",
        "prompt": "def find_zero(xs):\n",
        "entry_point": "find_zero",
        "canonical_solution": "    return 1.0\n",
        "base_input": [[[-1, 0, 1]]],
        "plus_input": [[[-4, 0, 1]]],
        "atol": 0.0001,
    }
    assert outcomes(row, "    return -(-xs[0]) ** 0.5\n", confined, tmp_path) == [True, True]
    assert outcomes(row, "    return 1.0\n", confined, tmp_path) == [True, False]


def test_the_hubs_form_runs_its_own_test(files: Path, confined: Any, tmp_path: Path) -> None:
    row = {key: PLUS[0][key] for key in ("task_id", "prompt", "entry_point", "canonical_solution")}
    row["test"] = "def check(candidate):\n    assert candidate(4) == 2\n"
    assert outcomes(row, "    return x / 2\n", confined, tmp_path) == [True]
    assert outcomes(row, "    return x\n", confined, tmp_path) == [False]


def test_a_malformed_record_is_named(tmp_path: Path) -> None:
    for changed, said in (
        ({"base_input": [1]}, "base_input: must be lists of arguments"),
        ({"base_input": "x"}, "base_input: must be list, not str"),
        ({"prompt": None}, "prompt: must be str, not NoneType"),
    ):
        write_jsonl(tmp_path / "plus.jsonl", [PLUS[0], {**PLUS[1], **changed}])
        with pytest.raises(UserError, match=rf"plus\.jsonl:2: {said}"):
            BENCHMARKS["humaneval_plus"].tasks(
                EvaluationContext(EvaluateSettings(), data=tmp_path / "plus.jsonl")
            )
    assert "float('inf')" in check_of([[float("inf"), float("nan"), [1.5]]])


def check_of(inputs: list[list[Any]]) -> str:
    return comparison_tests("def half(x): return x / 2", "half", inputs, 0.0)


# ---- MBPP


def test_three_shots_are_two_three_and_four(files: Path) -> None:
    tasks = mbpp_tasks(EvaluationContext(EvaluateSettings(), data=files))
    assert [task.task_id for task in tasks] == ["MBPP/11", "MBPP/12"]
    prompt = tasks[0].prompt
    assert isinstance(prompt, TextPrompt) and prompt.stop == ("[DONE]", "\n```")
    assert prompt.prompt.startswith(
        "You are an expert Python programmer, and here is your task: Write a function to add 2. Your code should "
        "pass these tests:\n\nassert add(0) == 2\nassert add(1) == 3\n"
        "[BEGIN]\ndef add(a):\n    return a + 2\n[DONE]\n"
    )
    assert tasks[0].max_new_tokens == 512
    assert (
        mbpp_tasks(EvaluationContext(EvaluateSettings(mbpp={"max_new_tokens": 9}), data=files))[
            0
        ].max_new_tokens
        == 9
    )
    assert prompt.prompt.endswith("assert add(0) == 11\nassert add(1) == 12\n[BEGIN]\n")
    assert [prompt.prompt.count(word) for word in ("[BEGIN]", "[DONE]", "add 3", "add 4")] == [4, 3, 1, 1]


def test_zero_shot_asks_for_tags_in_a_dialogue_where_there_is_a_format(files: Path) -> None:
    def first(chat: str, model: EvaluatedModel) -> Any:
        context = EvaluationContext(EvaluateSettings(chat=chat), model, files)
        return mbpp_zero_shot_tasks(context)[0].prompt

    asked = first("auto", EvaluatedModel(is_chat=True))
    assert isinstance(asked, ChatPrompt) and not asked.prefill and asked.stop == ("[/PYTHON]",)
    # The paper's Figure 12.
    assert asked.messages[0].content == (
        "You are an expert Python programmer, and here is your task: Write a function to add 11.\n"
        "Your code should pass these tests:\n\nassert add(0) == 11\nassert add(1) == 12\n"
        "Your code should start with a [PYTHON] tag and end with a [/PYTHON] tag."
    )
    for plain in (first("auto", EvaluatedModel()), first("never", EvaluatedModel(is_chat=True))):
        assert plain.prompt.endswith("[/PYTHON] tag.\n[PYTHON]\n") and plain.stop == ("[/PYTHON]",)
    assert isinstance(first("always", EvaluatedModel()), ChatPrompt)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("[PYTHON]\nx = 1\n[/PYTHON]\nDone.", "\nx = 1\n"),
        ("Sure.\n[PYTHON]x = 1", "x = 1"),
        ("x = 1\n[/PYTHON]", "x = 1\n"),
        ("```python\nx = 1\n```", "x = 1\n"),
        ("[PYTHON]\n```python\nx = 1\n```\n[/PYTHON]", "x = 1\n"),
        ("def f():\n    '''Text.'''\n", "def f():\n    '''Text.'''\n"),
        ("x = 1", "x = 1"),
    ],
)
def test_the_program_is_between_the_tags(reply: str, code: str) -> None:
    assert tagged_code(reply) == code


def test_other_names_and_the_sanitized_form_are_known(files: Path, measure: Any, sandbox: Any) -> None:
    samples = [{"task_id": name, "completion": "def add(a): return a + 11"} for name in (11, "11", "Mbpp/11")]
    write_jsonl(files / "samples.jsonl", samples)
    _, rows = measure(
        "mbpp", samples={"mbpp": files / "samples.jsonl"}, sandbox=sandbox, data={"mbpp": files}
    )
    assert [(row["task_id"], row["passed"]) for row in rows] == [("MBPP/11", True)] * 3
    sanitized = [
        {
            key: value
            for key, value in row.items()
            if not key.startswith("t") or key in ("task_id", "test_list")
        }
        | {"prompt": row["text"], "test_imports": ["import math"]}
        for row in MBPP
    ]
    write_json(files / "sanitized-mbpp.json", sanitized)
    data = files / "sanitized-mbpp.json"
    [task, _] = mbpp_tasks(EvaluationContext(EvaluateSettings(), data=data))
    [program] = task.programs("x")
    assert isinstance(program, Program) and program.tests.startswith("import math\nassert")


def test_mbpp_without_its_shots_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "mbpp.jsonl", MBPP[1:])
    with pytest.raises(UserError, match=r"lacks the tasks \[2\]"):
        mbpp_tasks(EvaluationContext(EvaluateSettings(), data=tmp_path))
    write_jsonl(tmp_path / "mbpp.jsonl", [{**MBPP[0], "test_list": [1]}])
    with pytest.raises(UserError, match=r"mbpp\.jsonl:1: test_list: must be texts"):
        mbpp_tasks(EvaluationContext(EvaluateSettings(), data=tmp_path))
