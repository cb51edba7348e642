"""What HumanEval+ and MBPP+ (Liu et al. 2023, EvalPlus) share: a function is compared with its reference on inputs.

Both functions are called with each input, the answer's one in the sandbox. Their results must be equal;
floating-point numbers nearly (EvalPlus' rule). A call may take 4 s of CPU time, or four times as long as the
reference. A few problems have more than one right result; each of them names the rule by which EvalPlus judges it
(:data:`RULES`). An input whose result is too large to be handed to the tests (:data:`LARGEST_RESULT`) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from codecascade.evaluation.data import require_field
from codecascade.evaluation.rates import pass_at_k_scores, values_by_problem
from codecascade.evaluation.rows import SampleRow
from codecascade.evaluation.scores import Scores
from codecascade.ground.errors import UserError
from codecascade.sandbox.inside.values.form import LARGEST
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import IMPORTED, Program

TASK_SECONDS = 120.0
"""CPU time of an answer to a problem. The clock ends it after about twice as long, in which the reference runs, too;
MBPP+'s task 599 takes each of them 40 s."""
INPUT_SECONDS = 4.0
LARGEST_RESULT = LARGEST // 2
"""Bytes of a reference's result, about. What is larger can't be handed from the answer's process to the tests."""
GROUPS = ("base_input", "plus_input")

RULES = {
    "": "found == expected",
    "anything": "True",
    "root": "abs(sum(c * found ** power for power, c in enumerate(arguments[0]))) <= (atol or 1e-4)",
    "set": "set(found) == set(expected)",
    # Where the reference returns a match of a regular expression, only whether there is one counts.
    "found": "(found == (expected is not None)) if isinstance(found, bool)"
    " else (expected is not None) == (found is not None)",
    "or zero": "found == expected or found == 0",
    # The height of a pyramid may be meant along its axis. The reference takes it along the slope.
    "pyramid": "found == expected or abs(found - round(arguments[0] ** 2 + 2 * arguments[0]"
    " * ((arguments[0] / 2) ** 2 + arguments[1] ** 2) ** 0.5)) <= atol",
    # The digits of two numbers may be compared place by place. The reference takes those of their difference.
    "digits": "found == expected or found == sum(abs(int(a) - int(b)) for a, b in zip("
    "*(str(each).zfill(max(map(len, map(str, arguments)))) for each in arguments)))",
}
"""Expressions of Python that say whether ``found`` is right for the ``arguments``, by name."""
_ALONE = frozenset({"root"})
"""Rules that are the whole judgement. After the others, numbers that are nearly the expected ones are right, too."""

# The tests, which run in another process than the answer. They call its function by a stand-in, whose method
# ``within`` sets a limit in seconds.
_CHECK = """
import copy as __copy, time as __time
from itertools import islice as __islice
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
    if {rule}:
        return True
    if atol == 0 and __floats(expected):
        atol = 1e-6
    return {near} and atol != 0 and type(found) is type(expected) and __near(found, expected, atol)

def __is_large(value):
    left, waiting = {largest}, [value]
    while waiting and left > 0:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.keys())
            waiting.extend(each.values())
        elif isinstance(each, (list, tuple, set, frozenset)):
            left -= 16
            # Not more than would be looked at.
            waiting.extend(__islice(each, max(0, left)))
        elif isinstance(each, (str, bytes)):
            left -= len(each) + 3
        elif isinstance(each, int):
            left -= each.bit_length() // 3 + 2
        else:
            left -= len(repr(each)) + 1
    return left <= 0

def __compare(arguments):
    started = __time.process_time()
    expected = __reference[{entry_point!r}](*__copy.deepcopy(arguments))
    limit = max({seconds}, 4 * (__time.process_time() - started))
    if not __is_large(expected):
        found = {entry_point}.within(limit)(*__copy.deepcopy(arguments))
        assert __right(arguments, found, expected, {atol!r}), "wrong result"

for __arguments in {inputs}:
    __compare(__arguments)
"""


def input_groups(row: dict[str, Any], location: str) -> dict[str, list[Any]]:
    """The inputs of EvalPlus' own file, by group.

    Where a group is empty, the file has ``{}`` for it (MBPP+'s task 793 has no inputs of EvalPlus').

    Raises:
        UserError: they are no lists of arguments.
    """
    groups = {key: [] if row.get(key) == {} else require_field(row, key, list, location) for key in GROUPS}
    for key, inputs in groups.items():
        if not all(isinstance(arguments, list) for arguments in inputs):
            raise UserError("must be lists of arguments", file=location, key=key)
    return groups


def tolerance(row: dict[str, Any], location: str) -> float:
    """How far a number may be from the expected one."""
    return float(require_field(row, "atol", (int, float), location)) if "atol" in row else 0.0


def comparison_tests(
    reference: str, entry_point: str, inputs: Sequence[Sequence[Any]], atol: float, rule: str = ""
) -> str:
    """The tests that compare an answer's function with that of ``reference``, a whole program, on ``inputs``."""
    return _CHECK.format(
        reference=reference,
        entry_point=entry_point,
        inputs=_literal(list(inputs)),
        seconds=INPUT_SECONDS,
        largest=LARGEST_RESULT,
        atol=atol,
        rule=RULES[rule],
        near=rule not in _ALONE,
    )


def _literal(value: Any) -> str:
    """``repr``, but infinity and not-a-number can be read back too."""
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, tuple):
        return f"({''.join(_literal(each) + ', ' for each in value)})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_literal(key)}: {_literal(each)}' for key, each in value.items())}}}"
    if isinstance(value, float) and (value - value != 0):
        return f"float({str(value)!r})"
    return repr(value)


def compared_programs(source: str, entry_point: str, checks: Sequence[str]) -> list[Program]:
    """A program for each group of inputs."""
    return [
        Program(source, name=IMPORTED, tests=each, timeout=TASK_SECONDS, calls=(entry_point,))
        for each in checks
    ]


def judged_by_group(_completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
    """Whether the answer passes the original benchmark's inputs, which come first."""
    return {"base_passed": bool(outcomes) and outcomes[0].passed}


def told_test(entry_point: str, groups: dict[str, list[Any]]) -> str:
    """What is compared, for a reader."""
    counts = " and ".join(f"{len(inputs)} inputs ({key})" for key, inputs in groups.items())
    return f"{entry_point} against the canonical solution on {counts}"


def plus_scores(rows: Iterable[SampleRow]) -> dict[str, Scores]:
    """``pass@k``, and ``pass@k_base`` if the data separates the two kinds of inputs."""
    found = values_by_problem(rows, "passed", "base_passed")
    base = found["base_passed"]
    return pass_at_k_scores(found["passed"]) | (pass_at_k_scores(base, suffix="_base") if base else {})
