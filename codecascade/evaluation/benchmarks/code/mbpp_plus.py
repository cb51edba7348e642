"""MBPP+ (Liu et al. 2023, EvalPlus): 378 problems of MBPP with many more inputs.

An answer is a whole program. Its function is compared with the reference on each input
(:mod:`codecascade.evaluation.benchmarks.code.evalplus`). ``pass@1`` is over MBPP's own inputs and those that EvalPlus
added, ``pass@1_base`` over MBPP's alone.

The data is EvalPlus' own file, version 0.2.0. JSON knows no tuples, sets and complex numbers; which problems have
them is part of the format (``mbpp_deserialize_inputs`` of the package ``evalplus``). In the hub's data set of the
same name, the inputs are part of each problem's ``test``, which is run as it is. Then there is no ``pass@1_base``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from codecascade.evaluation.answers.python_code import sanitized
from codecascade.evaluation.answers.replies import program_in
from codecascade.evaluation.answers.texts import FENCE
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
from codecascade.evaluation.benchmarks.code.humaneval import in_chat, script_prompt
from codecascade.evaluation.benchmarks.code.mbpp import MbppProblem, MbppSettings
from codecascade.evaluation.data import BenchmarkData, load_records, require_field
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.task import Benchmark, EvaluationContext, Prompt, Task, TextPrompt, unchanged
from codecascade.ground.errors import UserError
from codecascade.sandbox.program import IMPORTED, Program
from codecascade.sandbox.splitting import split_tests

DATA = BenchmarkData(
    files=("MbppPlus*.jsonl*",),
    licence="Apache-2.0",
    hub="evalplus/mbppplus",
    hub_files=("data/test-*.parquet",),
)
STOPS = ("\nif __name__", "\ndef main(", "\nprint(", '\n"""', "\nassert", FENCE)
"""What ends a program that a model writes behind the problem; EvalPlus' strings for MBPP, and a fence."""
_RULES = {
    164: "anything",
    295: "or zero",
    558: "digits",
    581: "pyramid",
    **dict.fromkeys((2, 7, 111, 140, 232, 249, 579, 769), "set"),
}
_MATCHES = frozenset({"check_str", "text_match_three", "text_starta_endb"})
"""Functions whose references return a match of a regular expression, or None."""


def _to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _to_tuples(value: Any) -> Any:
    """All lists in it as tuples."""
    return tuple(map(_to_tuples, value)) if isinstance(value, list) else value


def _items_to_tuples(value: Any) -> Any:
    return list(map(_to_tuple, value))


def _first(convert: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    """Convert the first argument alone."""
    return lambda arguments: [convert(arguments[0]), *arguments[1:]]


def _each(convert: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda arguments: list(map(convert, arguments))


# A set that was empty became a dict, as in EvalPlus.
def _to_sets(value: Any) -> Any:
    return [set(item) if isinstance(item, list) and item else {} for item in value]


_TYPES: dict[Callable[[list[Any]], list[Any]], tuple[int, ...]] = {
    _each(tuple): (
        *(2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740),
        *(744, 809),
    ),
    _each(_items_to_tuples): (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780),
    _each(lambda value: tuple(map(tuple, value))): (259, 401, 445),
    _each(_to_tuples): (580, 615, 791),
    _each(lambda value: tuple(map(_to_tuple, value))): (278,),
    _each(complex): (252,),
    _first(_items_to_tuples): (75, 413, 444, 753),
    _first(tuple): (250, 307, 405, 446, 617, 720, 763, 808),
    _first(_to_sets): (115,),
    _first(lambda value: {key: tuple(item) for key, item in value.items()}): (722,),
    lambda arguments: [arguments[0], tuple(arguments[1])]: (106, 750),
    lambda arguments: [float(arguments[0]), complex(arguments[1])]: (124,),
}
_CONVERT = {number: convert for convert, numbers in _TYPES.items() for number in numbers}


def typed_inputs(number: int, inputs: Sequence[list[Any]]) -> list[list[Any]]:
    """The lists of arguments of MBPP's task ``number``, with the types that JSON does not know.

    Raises:
        TypeError, ValueError, AttributeError, IndexError: the inputs are not those of this task.
    """
    convert = _CONVERT.get(number, list)
    return [convert(arguments) for arguments in inputs]


def plus_tasks(context: EvaluationContext) -> list[Task]:
    """All problems."""
    return list(_tasks(context))


def _tasks(context: EvaluationContext) -> Iterator[Task]:
    for location, row in load_records("mbpp_plus", DATA, context.data, {}):
        yield _own_form(location, row, context) if "plus_input" in row else _hub_form(location, row, context)


def _own_form(location: str, row: dict[str, Any], context: EvaluationContext) -> Task:
    """A problem of EvalPlus' file."""
    task_id, prompt, entry_point, reference = (
        require_field(row, key, str, location)
        for key in ("task_id", "prompt", "entry_point", "canonical_solution")
    )
    last = task_id.rpartition("/")[2]
    if not (last.isascii() and last.isdecimal()):
        raise UserError(f"must end in a number, as Mbpp/2, not {task_id!r}", file=location, key="task_id")
    number = int(last)
    groups = input_groups(row, location)
    for key, inputs in groups.items():
        try:
            groups[key] = typed_inputs(number, inputs)
        except (TypeError, ValueError, AttributeError, IndexError):
            raise UserError(
                f"are not the inputs of MBPP's task {number} in EvalPlus' file", file=location, key=key
            ) from None
    rule = "found" if entry_point in _MATCHES else _RULES.get(number, "")
    atol = tolerance(row, location)
    checks = [
        comparison_tests(prompt + reference, entry_point, inputs, atol, rule) for inputs in groups.values()
    ]
    return Task(
        task_id,
        _prompt(prompt, context),
        context.own(MbppSettings).max_new_tokens,
        expected=reference,
        test=told_test(entry_point, groups),
        extract=_extract(entry_point, context),
        programs=lambda program: compared_programs(program, entry_point, checks),
        judge=judged_by_group,
        aliases=(last, f"MBPP/{last}"),
    )


def _hub_form(location: str, row: dict[str, Any], context: EvaluationContext) -> Task:
    """A problem of the hub's data set: the question, the reference, assertions and a test that is run as it is."""
    number = require_field(row, "task_id", int, location)
    question, reference, test = (require_field(row, key, str, location) for key in ("prompt", "code", "test"))
    assertions = require_field(row, "test_list", list, location)
    if not assertions or not all(isinstance(each, str) for each in assertions):
        raise UserError("must be texts, one at least", file=location, key="test_list")
    functions = MbppProblem(number, question, reference, tuple(assertions)).functions
    entry_point = min(functions, default="")
    if not entry_point:
        raise UserError("defines no function that test_list calls", file=location, key="code")
    apart = split_tests(test, reference)
    return Task(
        f"Mbpp/{number}",
        _prompt(f'"""\n{question}\n{assertions[0]}\n"""\n', context),
        context.own(MbppSettings).max_new_tokens,
        expected=reference,
        test=test.strip(),
        extract=_extract(entry_point, context),
        programs=lambda program: [
            Program(
                program,
                name=IMPORTED,
                tests=test,
                timeout=TASK_SECONDS,
                calls=apart.calls,
                given=apart.given,
            )
        ],
        aliases=(str(number), f"MBPP/{number}"),
    )


def _prompt(problem: str, context: EvaluationContext) -> Prompt:
    return script_prompt(problem) if in_chat(context.settings, context.model) else TextPrompt(problem, STOPS)


def _extract(entry_point: str, context: EvaluationContext) -> Callable[[str], str]:
    if in_chat(context.settings, context.model):
        return lambda text: sanitized(program_in(text, {entry_point}), entry_point)
    # A given program may hold the problem, and so the stop strings.
    return unchanged


BENCHMARKS = (
    Benchmark(
        "mbpp_plus",
        "MBPP+: zero-shot, more tests",
        "pass@1",
        DATA,
        frozenset({"sandbox"}),
        tasks=plus_tasks,
        scores=plus_scores,
        settings=MbppSettings,
        size=lambda settings: BenchmarkSize(378, 70, 150),
        in_words=True,
        chats=True,
        task_ids=r"(MBPP|Mbpp)/\d+$",
        version=5,
    ),
)
