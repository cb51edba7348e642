"""HumanEval+ (Liu et al. 2023, EvalPlus): HumanEval's problems with many more inputs.

The completed function is compared with the canonical solution on each input
(:mod:`codecascade.evaluation.benchmarks.code.evalplus`). ``pass@1`` is over HumanEval's own inputs and those that
EvalPlus added, ``pass@1_base`` over HumanEval's alone.

The data is EvalPlus' own file. In the hub's data set of the same name, the inputs are part of each problem's
``test``, which is run as it is. Then there is no ``pass@1_base``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from codecascade.evaluation.answers.python_code import append_program
from codecascade.evaluation.benchmarks.code.evalplus import (
    TASK_SECONDS,
    compared_programs,
    comparison_tests,
    input_groups,
    judged_by_group,
    plus_scores,
    told_test,
    tolerance,
)
from codecascade.evaluation.benchmarks.code.humaneval import (
    HumanEvalProblem,
    HumanEvalSettings,
    completion_task,
    humaneval_size,
)
from codecascade.evaluation.data import BenchmarkData, load_records, require_field
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import Benchmark, EvaluationContext, Task
from codecascade.sandbox.program import Program

DATA = BenchmarkData(
    files=("HumanEvalPlus*.jsonl*",),
    licence="Apache-2.0",
    hub="evalplus/humanevalplus",
    hub_files=("data/test-*.parquet",),
)
_PROGRAM_FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution")


def plus_tasks(context: EvaluationContext) -> list[Task]:
    """All problems, or the subset that ``humaneval.problems`` asks for."""
    records = load_records("humaneval_plus", DATA, context.data, dict.fromkeys(_PROGRAM_FIELDS, str))
    chosen = subset(records, context.own(HumanEvalSettings).problems, context.seed)
    return [_task(location, row, context) for location, row in chosen]


def _task(location: str, row: dict[str, Any], context: EvaluationContext) -> Task:
    if "plus_input" not in row:
        problem = _problem(row, require_field(row, "test", str, location))
        return completion_task(problem, problem.check, context, timeout=TASK_SECONDS)
    groups = input_groups(row, location)
    atol = tolerance(row, location)
    problem = _problem(row, "")
    reference = problem.prompt + problem.canonical_solution
    # Any root of the polynomial is right.
    rule = "root" if problem.entry_point == "find_zero" else ""
    checks = tuple(
        comparison_tests(reference, problem.entry_point, inputs, atol, rule) for inputs in groups.values()
    )
    return replace(
        completion_task(problem, "", context),
        test=told_test(problem.entry_point, groups),
        programs=partial(_programs, problem, checks),
        judge=judged_by_group,
    )


def _problem(row: dict[str, Any], test: str) -> HumanEvalProblem:
    return HumanEvalProblem(**{key: row[key] for key in _PROGRAM_FIELDS}, test=test)


def _programs(problem: HumanEvalProblem, checks: Sequence[str], completion: str) -> Sequence[Program]:
    return compared_programs(append_program(problem.prompt, completion), problem.entry_point, checks)


BENCHMARKS = (
    Benchmark(
        "humaneval_plus",
        "HumanEval+: completion, more tests",
        "pass@1",
        DATA,
        frozenset({"sandbox"}),
        tasks=plus_tasks,
        scores=plus_scores,
        settings=HumanEvalSettings,
        size=humaneval_size,
        chats=True,
        task_ids=r"HumanEval/\d+$",
        version=5,
    ),
)
