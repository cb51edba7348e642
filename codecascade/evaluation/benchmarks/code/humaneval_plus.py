"""HumanEval+ (Liu et al. 2023, EvalPlus): HumanEval's problems with many more inputs.

The completed function and the canonical solution are called with each input, in the sandbox. Their results must be
equal; floating-point numbers nearly (EvalPlus' rule). ``pass@1`` is over HumanEval's own inputs and those that
EvalPlus added, ``pass@1_base`` over HumanEval's alone. A call may take 4 s of CPU time, or four times as long as the
canonical solution.

The data is EvalPlus' own file. In the hub's data set of the same name, the inputs are part of each problem's
``test``, which is run as it is. Then there is no ``pass@1_base``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from codecascade.evaluation.answers.python_code import append_program
from codecascade.evaluation.benchmarks.code.humaneval import (
    HumanEvalProblem,
    HumanEvalSettings,
    completion_task,
    humaneval_size,
)
from codecascade.evaluation.data import BenchmarkData, load_records, require_field
from codecascade.evaluation.rates import pass_at_k_scores, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import Benchmark, EvaluationContext, SampleRow, Task
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Program

DATA = BenchmarkData(
    files=("HumanEvalPlus*.jsonl*",),
    licence="Apache-2.0",
    hub="evalplus/humanevalplus",
    hub_files=("data/test-*.parquet",),
)
_TASK_SECONDS = 60.0
_INPUT_SECONDS = 4.0
_PROGRAM_FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution")

# The tests, which run in another process than the completion. They call its function by a stand-in, whose method
# ``within`` sets a limit in seconds.
_CHECK = """
import copy as __copy, time as __time
__reference = {{}}
exec(compile({reference!r}, "reference.py", "exec"), __reference)

def __floats(value):
    return isinstance(value, float) or (
        isinstance(value, (list, tuple)) and bool(value) and all(isinstance(each, float) for each in value)
    )

def __near(found, expected, atol):
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(lambda a, b: __near(a, b, atol), found, expected))
    if found == expected or abs(expected) == float("inf"):
        return found == expected
    return abs(found - expected) <= atol + 1e-7 * abs(expected)

def __right(arguments, found, expected, atol):
    if {entry_point!r} == "find_zero":  # any root will do
        return abs(sum(c * found ** power for power, c in enumerate(arguments[0]))) <= (atol or 1e-4)
    if atol == 0 and __floats(expected):
        atol = 1e-6
    if found == expected:
        return True
    return atol != 0 and type(found) is type(expected) and __near(found, expected, atol)

for __arguments in {inputs}:
    __started = __time.process_time()
    __expected = __reference[{entry_point!r}](*__copy.deepcopy(__arguments))
    __limit = max({seconds}, 4 * (__time.process_time() - __started))
    __found = {entry_point}.within(__limit)(*__copy.deepcopy(__arguments))
    assert __right(__arguments, __found, __expected, {atol!r}), "wrong result"
"""


def plus_tasks(context: EvaluationContext) -> list[Task]:
    """All problems, or the subset that ``humaneval.problems`` asks for."""
    records = load_records("humaneval_plus", DATA, context.data, dict.fromkeys(_PROGRAM_FIELDS, str))
    chosen = subset(records, context.own(HumanEvalSettings).problems, context.seed)
    return [_task(location, row, context) for location, row in chosen]


def _task(location: str, row: dict[str, Any], context: EvaluationContext) -> Task:
    if "plus_input" not in row:
        problem = _problem(row, require_field(row, "test", str, location))
        return completion_task(problem, problem.check, context, timeout=_TASK_SECONDS)
    groups = {key: require_field(row, key, list, location) for key in ("base_input", "plus_input")}
    for key, inputs in groups.items():
        if not all(isinstance(arguments, list) for arguments in inputs):
            raise UserError("must be lists of arguments", file=location, key=key)
    atol = float(require_field(row, "atol", (int, float), location)) if "atol" in row else 0.0
    problem = _problem(row, "")
    checks = tuple(comparison_tests(problem, inputs, atol) for inputs in groups.values())
    counts = " and ".join(f"{len(inputs)} inputs ({key})" for key, inputs in groups.items())
    return replace(
        completion_task(problem, "", context),
        test=f"{problem.entry_point} against the canonical solution on {counts}",
        programs=partial(_programs, problem, checks),
        judge=_judge,
    )


def _problem(row: dict[str, Any], test: str) -> HumanEvalProblem:
    return HumanEvalProblem(**{key: row[key] for key in _PROGRAM_FIELDS}, test=test)


def comparison_tests(problem: HumanEvalProblem, inputs: Sequence[Sequence[Any]], atol: float) -> str:
    """The tests that compare a completed function with the canonical solution on ``inputs``."""
    return _CHECK.format(
        reference=problem.prompt + problem.canonical_solution,
        entry_point=problem.entry_point,
        inputs=_literal(inputs),
        seconds=_INPUT_SECONDS,
        atol=atol,
    )


def _literal(value: Any) -> str:
    """``repr``, but infinity and not-a-number can be read back too."""
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, float) and (value - value != 0):
        return f"float({str(value)!r})"
    return repr(value)


def _programs(problem: HumanEvalProblem, checks: Sequence[str], completion: str) -> Sequence[Program]:
    source, calls = append_program(problem.prompt, completion), (problem.entry_point,)
    return [Program(source, tests=each, timeout=_TASK_SECONDS, calls=calls) for each in checks]


def _judge(completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
    return {"base_passed": bool(outcomes) and outcomes[0].passed}


def plus_scores(rows: Iterable[SampleRow]) -> dict[str, Scores]:
    """``pass@k``, and ``pass@k_base`` if the data separates the two kinds of inputs."""
    found = values_by_problem(rows, "passed", "base_passed")
    base = found["base_passed"]
    return pass_at_k_scores(found["passed"]) | (pass_at_k_scores(base, suffix="_base") if base else {})


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
    ),
)
