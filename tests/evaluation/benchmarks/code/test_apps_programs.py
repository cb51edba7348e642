"""The programs that run an answer to an APPS problem: what an answer may name, print and do, and is right."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.evaluation.benchmarks.code import apps_programs
from codecascade.sandbox.outcome import Limits, Outcome
from codecascade.sandbox.sandbox import Sandbox

Judge = Callable[[str, dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def judged() -> Iterator[Judge]:
    with Sandbox("weak", workers=1) as sandbox:

        def judge(code: str, cases: dict[str, Any]) -> dict[str, Any]:
            outcomes = list(sandbox.run_many(apps_programs.programs(code, cases)))
            return apps_programs.verdict(cases, outcomes, like_apps=True)

        yield judge


def test_an_answer_that_is_called_may_name_its_variables_like_builtins(judged: Judge) -> None:
    names = [name for name in dir(builtins) if name[0] != "_" and name not in ("True", "False", "None")]
    code = "\n".join(f"{name} = {{'a': 1}}" for name in names) + "\ndef f(a): return [a, (1, {2: 3})]"
    cases = {"fn_name": "f", "inputs": [[{"7": 8}]], "outputs": [[{"7": 8}, [1, {"2": 3}]]]}
    row = judged(code, {**cases, "outputs": [0]})
    assert row["detail"] == "case 1: wrong answer", "it was called"
    code = "import builtins\nbuiltins.print = 5\nlist = {'x': 6}\ndef f(a): return list[a]"
    assert judged(code, {"fn_name": "f", "inputs": [["x"]], "outputs": [6]})["passed"]
    method = "dict = getattr = hasattr = 3\nclass Solution:\n    def f(self, a): return dict + a"
    assert judged(method, {"fn_name": "f", "inputs": [[4]], "outputs": [7]})["passed"]


def test_a_right_output_is_kept_whole_and_no_wrong_one_without_end(judged: Judge) -> None:
    size = Limits().output_bytes // 10
    prints, right = "for n in range(int(input())): print('123456789')", "123456789\n" * (2 * size)
    assert judged(prints, {"inputs": [str(2 * size)], "outputs": [right]})["passed"]
    pairs = {"fn_name": "f", "inputs": [[size]], "outputs": [[[size, size]] * size]}
    assert judged("def f(n): return [(n, n)] * n", {**pairs, "outputs": [pairs["outputs"]]})["passed"]
    row = judged(prints, {"inputs": [str(size)], "outputs": ["123456789\n"]})
    assert (row["outcome"], row["detail"]) == ("failed", "case 1: wrong answer: 1 MB of output or more")


def test_an_output_that_was_cut_is_never_compared() -> None:
    full = Outcome("passed", stdout="3\n", stdout_is_full=True)
    called = Outcome("passed", stdout="\nresult of the call: 3\n", stdout_is_full=True)
    for cases, outcome in (
        ({"inputs": ["1"], "outputs": ["3"]}, full),
        ({"fn_name": "f", "inputs": [[1]], "outputs": [3]}, called),
    ):
        row = apps_programs.verdict(cases, [outcome], like_apps=True)
        assert not row["passed"] and "of output or more" in row["detail"]


@given(st.lists(st.text(max_size=20), max_size=5), st.booleans())
def test_there_is_room_for_any_right_output(lines: list[str], is_called: bool) -> None:
    cases = {"inputs": [["1"]], "outputs": [lines], **({"fn_name": "f"} if is_called else {})}
    (program,) = apps_programs.programs("", cases)
    assert program.output_bytes == 1_000_000, "the number tells nothing of what is expected"


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "exit()", "raise SystemExit"])
def test_every_normal_end_after_a_right_output_passes(judged: Judge, end: str) -> None:
    cases = {"inputs": ["1"], "outputs": ["6"]}
    code = f"import os, sys\nprint(6, flush=True)\n{end}"
    assert judged(code, cases)["passed"]
    assert judged(code.replace("6", "5"), cases)["detail"] == "case 1: wrong answer"
    for status in ("os._exit(3)", "sys.exit(3)"):
        assert not judged(code.replace(end, status), cases)["passed"]
