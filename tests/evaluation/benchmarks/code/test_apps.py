"""APPS, with hand-made problems in the published form: JSON in texts, both kinds, and what is odd in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.code import apps, apps_programs
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.scores import metrics_of
from codecascade.evaluation.task import ChatPrompt, EvaluatedModel, EvaluationContext, Task, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.sandbox import Sandbox

READS: dict[str, Any] = {
    "problem_id": 7,
    "question": "\nPrint the sum of two numbers.\n",
    "solutions": json.dumps(
        [
            "return 5",
            "a, b = map(int, input().split())\nprint(a + b)",
            "print(sum(map(int, input().split())))",
        ]
    ),
    "input_output": json.dumps({"inputs": ["1 2\n", "20 30\n"], "outputs": ["3\n", "50\n"]}),
    "difficulty": "interview",
    "url": "none",
    "starter_code": "",
}
CALLS: dict[str, Any] = {
    "problem_id": 8,
    "question": "Return the pair in the other order.",
    "solutions": json.dumps(["class Solution:\n    def swap(self, a, b):\n        return b, a\n"]),
    "input_output": json.dumps(
        {"fn_name": "swap", "inputs": [[1, 2], ["x", [3]]], "outputs": [[2, 1], [[[3], "x"]]]}
    ),
    "difficulty": "introductory",
    "url": "none",
    "starter_code": "class Solution:\n    def swap(self, a, b):\n        ",
}
Solve = Callable[[Task, str], dict[str, Any]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "test.jsonl").write_text(f"{json.dumps(READS)}\n{json.dumps(CALLS)}\n")
    train = [{**READS, "problem_id": 1}, {**READS, "problem_id": 2}, {**CALLS, "problem_id": 3}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in train))
    return tmp_path


@pytest.fixture(scope="module")
def solve() -> Solve:
    """What a raw answer comes to in the real sandbox."""
    sandbox = Sandbox("weak")

    def solved(task: Task, text: str) -> dict[str, Any]:
        completion = task.completion(text, "stop")
        assert task.programs is not None and task.judge is not None
        return task.judge(completion, list(sandbox.run_many(task.programs(completion))))

    return solved


def test_two_solved_problems_of_the_train_split_are_shown(data: Path) -> None:
    reads, calls = apps.tasks(EvaluationContext(EvaluateSettings(), data=data))
    assert (reads.task_id, calls.task_id) == ("apps/7", "apps/8")
    assert isinstance(reads.prompt, TextPrompt) and reads.prompt.stop == ("```",)
    first, second, question = reads.prompt.prompt.split("Q: ")[1:]
    assert (
        "needs to read from and write to standard IO. Please wrap your code answer using ```:\nPrint the sum"
        in first
    )
    assert first.endswith(
        "A: ```\nprint(sum(map(int, input().split())))\n```\n"
        # The shortest that is Python.
    )
    assert "needs to use the provided function signature" in second and second.endswith("return b, a\n```\n")
    assert question.endswith("of two numbers.\nA: ```")
    assert isinstance(calls.prompt, TextPrompt)
    assert calls.prompt.prompt.endswith("other order.\n\nclass Solution:\n    def swap(self, a, b):\nA: ```")
    assert "1 2" in reads.test and reads.fields == {"difficulty": "interview"}


def test_the_shots_can_be_named_or_left_out(data: Path) -> None:
    def prompt(**settings: Any) -> str:
        task, _ = apps.tasks(EvaluationContext(EvaluateSettings(**settings), data=data))
        assert isinstance(task.prompt, TextPrompt)
        return task.prompt.prompt

    assert prompt(apps={"shots": [3]}).count("Q: ") == 2 and prompt(apps={"shots": []}).count("Q: ") == 1
    with pytest.raises(
        UserError, match=r"apps\.shots: 99: no such problem with a solution in the train split"
    ):
        prompt(apps={"shots": [1, 99]})


def test_the_papers_quotes_are_an_option(data: Path) -> None:
    task, _ = apps.tasks(EvaluationContext(EvaluateSettings(apps={"fence": "quotes"}), data=data))
    assert isinstance(task.prompt, TextPrompt) and task.prompt.stop == ("\n'''",)
    assert "answer using ''':\n" in task.prompt.prompt and task.prompt.prompt.endswith("\nA: '''")
    assert task.prompt.prompt.count("'''") == 3 * 2 + 2 and "```" not in task.prompt.prompt


def test_a_chat_model_is_asked_without_shots(data: Path) -> None:
    task, _ = apps.tasks(
        EvaluationContext(EvaluateSettings(chat="auto"), EvaluatedModel(is_chat=True), data / "test.jsonl")
    )
    assert isinstance(task.prompt, ChatPrompt) and task.prompt.messages[0].content.startswith(
        "Write a python code"
    )
    told, _ = apps.tasks(
        EvaluationContext(EvaluateSettings(chat="always"), EvaluatedModel(), data / "test.jsonl")
    )
    assert told.prompt == task.prompt, "an endpoint does not say that it can"
    assert task.extract("Sure:\n```python\nprint(1)\n```\nIt prints 1.").strip() == "print(1)"
    assert task.extract("'''\nprint(1)\n'''").strip() == "print(1)"


@pytest.mark.parametrize(
    ("text", "passed", "cases_passed", "detail"),
    [
        ("python\nprint(sum(map(int, input().split())))\n", True, 2, None),
        ("\nimport sys\nprint(sum(map(int, sys.stdin.read().split())))\nsys.exit()", True, 2, None),
        ("\nfrom __future__ import annotations\na, b = input().split()\nprint(a, b)\nexit()", False, 0, "wrong"),
        ("\nprint(3)", False, 1, "case 2: wrong answer"),
        ("\nprint(3", False, 0, "case 1: SyntaxError"),
        ("\nprint(3)\nraise ValueError('late')", False, 0, "case 1: ValueError: late"),
        ("\nprint(Counter(input()).total() and sum(map(int, open(0).read().split())))", False, 0, "wrong answer"),
        ("\nif __name__ == '__main__':\n    print(sum(map(int, input().split())))", True, 2, None),
        ("\nprint(sqrt(sum(map(int, input().split()))) ** 2)", True, 2, None),
    ],
)  # fmt: skip
def test_answers_that_read_and_print(
    data: Path, solve: Solve, text: str, passed: bool, cases_passed: int, detail: str | None
) -> None:
    task, _ = apps.tasks(EvaluationContext(EvaluateSettings(), data=data))
    row = solve(task, text)
    assert (row["passed"], row["cases_passed"], row["cases"]) == (passed, cases_passed, 2)
    assert row["detail"] is None if detail is None else detail in row["detail"]


@pytest.mark.parametrize(
    ("text", "cases_passed"),
    [
        ("class Solution:\n    def swap(self, a, b):\n        print('here')\n        return b, a\n", 2),
        ("def swap(a, b):\n    return [b, a]\n", 2),
        ("import numpy as np\ndef swap(a, b):\n    return np.array([b, a]) if a == 1 else [b, a]\n", 2),
        ("def swap(a, b):\n    return [2, 1]\n", 1),
        ("def swap(a, b):\n    return {a}\n", 0),
        ("def other(a, b):\n    return [b, a]\n", 0),
        ("print('result of the call: [2, 1]')", 0),
        ("# class Solution of LeetCode is not used\ndef swap(a, b):\n    return b, a\n", 2),
        ("class Solution:\n    pass\ndef swap(a, b):\n    return b, a\n", 2),
        (
            "def swap(a, b):\n    return b, a\nif __name__ == '__main__':\n    print(swap(*input().split()))\n",
            2,
        ),
    ],
)
def test_answers_that_are_called(data: Path, solve: Solve, text: str, cases_passed: int) -> None:
    _, task = apps.tasks(EvaluationContext(EvaluateSettings(), data=data))
    row = solve(task, text)
    assert row["cases_passed"] == cases_passed and row["passed"] is (cases_passed == 2)


@pytest.mark.parametrize(
    "printed", ["[" * 100_000, '{"tuple": 5}', '{"dict": [[[], 1]]}', '{"dict": 5}', "{}", "NaN", "[1, 2"]
)
def test_a_result_that_the_program_makes_up_is_a_wrong_answer(printed: str) -> None:
    cases = {"fn_name": "f", "inputs": [[1]], "outputs": [[2, 1]]}
    for like_apps in (True, False):
        outcome = Outcome("passed", stdout=f"\nresult of the call: {printed}\n")
        assert apps_programs.verdict(cases, [outcome], like_apps=like_apps)["passed"] is False


def test_tuples_in_lists_are_distinguished_from_lists_as_published(data: Path, solve: Solve) -> None:
    cases = {"fn_name": "f", "inputs": [[1]], "outputs": [[[1, 2], [3, 4]]]}
    (data / "test.jsonl").write_text(json.dumps({**CALLS, "input_output": json.dumps(cases)}))
    (published,) = apps.tasks(EvaluationContext(EvaluateSettings(), data=data))
    (ours,) = apps.tasks(EvaluationContext(EvaluateSettings(apps={"comparison": "tokens"}), data=data))
    tuples, lists = ("def f(a):\n    return [(1, 2), (3, 4)]\n", "def f(a):\n    return [[1, 2], [3, 4]]\n")
    assert not solve(published, tuples)["passed"] and solve(ours, tuples)["passed"]
    assert solve(published, lists)["passed"] and solve(ours, lists)["passed"]


def test_what_is_expected_never_enters_the_sandbox(data: Path) -> None:
    for task in apps.tasks(EvaluationContext(EvaluateSettings(), data=data)):
        assert task.programs is not None
        for program in task.programs("pass"):
            assert "50" not in program.source and '[3], "x"' not in program.source


def test_as_published_by_default_and_a_stricter_comparison_is_an_option(data: Path, solve: Solve) -> None:
    cases = {"inputs": [""], "outputs": ["1 2\n"]}
    row = {**READS, "input_output": json.dumps(cases)}
    (data / "test.jsonl").write_text(json.dumps(row))
    strict, lenient, default = (
        apps.tasks(EvaluationContext(EvaluateSettings(**comparison), data=data))[0]
        for comparison in ({"apps": {"comparison": "tokens"}}, {"apps": {"comparison": "apps"}}, {})
    )
    assert not solve(strict, "print(2, 1)")["passed"]
    assert solve(lenient, "print(2, 1)")["passed"] and solve(default, "print(2, 1)")["passed"]


def test_values_are_compared_as_published_by_default(data: Path, solve: Solve) -> None:
    cases = {"fn_name": "third", "inputs": [[1]], "outputs": [[1 / 3]]}
    (data / "test.jsonl").write_text(json.dumps({**CALLS, "input_output": json.dumps(cases)}))
    (published,) = apps.tasks(EvaluationContext(EvaluateSettings(), data=data))
    (ours,) = apps.tasks(EvaluationContext(EvaluateSettings(apps={"comparison": "tokens"}), data=data))
    near = "def third(a):\n    return 0.33333333\n"
    assert not solve(published, near)["passed"] and solve(ours, near)["passed"]
    assert solve(published, "def third(a):\n    return a / 3\n")["passed"]


def test_long_integers_and_numbers_as_keys(data: Path, solve: Solve) -> None:
    long = "7" * 6000
    cases = f'{{"fn_name": "f", "inputs": [[{long}], [{{"1": 2}}]], "outputs": [{long}, [{{"2": 1}}]]}}'
    (data / "test.jsonl").write_text(json.dumps({**READS, "input_output": cases}))
    (task,) = apps.tasks(EvaluationContext(EvaluateSettings(), data=data))
    answer = "def f(x):\n    return {v: k for k, v in x.items()} if isinstance(x, dict) else x\n"
    assert solve(task, answer)["passed"]


def test_lines_as_lists_and_problems_without_cases(data: Path, solve: Solve) -> None:
    listed = {**READS, "input_output": {"inputs": [["1", "2"]], "outputs": [["2", "1"]]}, "solutions": ""}
    empty = [{**READS, "input_output": text} for text in ("", "{}", '{"inputs": [], "outputs": []}')]
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [listed, *empty]))
    (task,) = apps.tasks(EvaluationContext(EvaluateSettings(), data=data))
    assert solve(task, "a = input()\nprint(input())\nprint(a)")["passed"] and not task.expected


def test_a_file_of_solved_problems_alone_shows_two_and_asks_the_others(tmp_path: Path) -> None:
    rows = [
        {**(CALLS if number % 2 else READS), "problem_id": number, "split": "train"} for number in range(5)
    ]
    (tmp_path / "sample.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = apps.tasks(EvaluationContext(EvaluateSettings(), data=tmp_path / "sample.jsonl"))
    assert [task.task_id for task in tasks] == ["apps/2", "apps/3", "apps/4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": 3}, r"test\.jsonl:2: question: must be str"),
        ({"difficulty": None}, r"test\.jsonl:2: difficulty: must be str"),
        ({"input_output": "{"}, r"test\.jsonl:2: input_output: is not valid JSON"),
        ({"input_output": "[1]"}, r"test\.jsonl:2: input_output: must be a JSON object"),
        ({"input_output": '{"inputs": ["1"]}'}, r"test\.jsonl:2: input_output: outputs: is missing"),
        ({"input_output": '{"inputs": ["1"], "outputs": []}'}, "1 inputs, but 0 outputs"),
        ({"solutions": "["}, r"test\.jsonl:2: solutions: is not valid JSON"),
    ],
)
def test_malformed_lines_are_named(data: Path, change: dict[str, Any], message: str) -> None:
    (data / "test.jsonl").write_text(f"{json.dumps(READS)}\n{json.dumps({**READS, **change})}\n")
    with pytest.raises(UserError, match=message):
        apps.tasks(EvaluationContext(EvaluateSettings(), data=data))


def test_without_a_train_split_the_sentence_says_what_to_do(data: Path) -> None:
    (data / "train.jsonl").unlink()
    with pytest.raises(
        UserError, match=r"put train.jsonl beside test.jsonl, or show none with apps.shots = \[\]"
    ):
        apps.tasks(EvaluationContext(EvaluateSettings(), data=data))


def test_figures_by_difficulty(data: Path) -> None:
    rows = [
        {"task_id": task, "difficulty": level, "passed": passed, "cases_passed": share, "cases": 4}
        for task, level, samples in [
            ("apps/1", "introductory", [(True, 4), (True, 4), (False, 2), (True, 4), (False, 0)]),
            ("apps/2", "interview", [(False, 1)] * 5),
        ]
        for passed, share in samples
    ]
    found = metrics_of(apps.scores(rows))
    assert found["pass@1"].value == pytest.approx(0.3) and found["pass@5"].value == pytest.approx(0.5)
    assert found["pass@1_introductory"].value == pytest.approx(0.6) and found["pass@5_interview"].value == 0
    assert found["test_case_average"].value == pytest.approx((14 / 20 + 5 / 20) / 2)
    assert "pass@10" not in found and "pass@1_competition" not in found
