"""The programs that run an answer to an APPS problem on its test cases, and the verdict on their outputs.

There is one program for each test case, so that each has its own limits and none sees what another left behind. The
expected outputs never enter the sandbox: what programs print and functions return is compared outside.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from codecascade.evaluation.answers.python_code import split_future_imports
from codecascade.evaluation.benchmarks.code.outputs import (
    apps_same_output,
    apps_same_value,
    same_output,
    same_value,
)
from codecascade.evaluation.task import Program, SampleRow
from codecascade.ground.format import show_bytes
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import IMPORTED

# For each test case, as in APPS' own runner (which measures wall-clock time).
_CPU_SECONDS = 4.0
_RESULT = "result of the call: "
_MEGABYTE = 1_000_000
# The imports that APPS' own runner puts before an answer. Here an import is put there only if the answer has one of
# its names.
_IMPORTS = {
    **{
        f"import {name}": (name,) for name in ("sys", "time", "itertools", "collections", "math", "fractions")
    },
    **{f"import {name}": (name,) for name in ("random", "heapq")},
    "import numpy as np": ("np",),
    **{
        f"from {module} import {name}": (name,)
        for module, names in {
            "itertools": "accumulate product permutations combinations",
            "collections": "Counter OrderedDict deque defaultdict ChainMap",
            "functools": "lru_cache",
            "math": "sqrt sin cos tan ceil fabs floor gcd exp log log2",
            "typing": "List Tuple",
        }.items()
        for name in names.split()
    },
    "from heapq import *": (
        "heappush",
        "heappop",
        "heapify",
        "heapreplace",
        "heappushpop",
        "merge",
        "nlargest",
        "nsmallest",
    ),
}
# Before an answer that is called, and behind it. The answer may name a variable like a builtin (`list`, `print`), so
# what calls it runs with other variables than the answer's, and with the builtins as they were before.
_BEFORE_CALL = "_builtins_before = vars(__import__('builtins')).copy()"
_CALL = """
_builtins_before["exec"]({text!r}, {{"__builtins__": _builtins_before, "known": _builtins_before["globals"]()}})
"""
_CALLER = """
import json, sys
def packed(value):  # JSON has no tuples, and no keys but texts
    if isinstance(value, tuple):
        return {{"tuple": list(map(packed, value))}}
    if isinstance(value, dict):
        return {{"dict": [[packed(key), packed(each)] for key, each in value.items()]}}
    return list(map(packed, value)) if isinstance(value, list) else value
arguments = json.loads({arguments!r})
if arguments and isinstance(arguments[0], dict) and all(key.lstrip("-").isdigit() for key in arguments[0]):
    arguments[0] = {{int(key): value for key, value in arguments[0].items()}}  # JSON made them text
is_method = "Solution" in known and (hasattr(known["Solution"], {name!r}) or {name!r} not in known)
function = getattr(known["Solution"](), {name!r}) if is_method else known[{name!r}]
printed, sys.stdout = sys.stdout, sys.stderr
result = function(*arguments)
sys.stdout = printed
print("\\n" + {marker!r} + json.dumps(packed(result), default=lambda value: value.tolist()))
"""


def allow_long_integers() -> None:
    """Raise Python's limit on converting integers: APPS has longer ones. A limit remains, for hostile outputs."""
    limit = sys.get_int_max_str_digits()
    if limit:
        sys.set_int_max_str_digits(max(limit, 100_000))


def programs(code: str, cases: dict[str, Any]) -> list[Program]:
    """A program for each test case. The answer reads the input of the case, or its function is called with it."""
    name = cases.get("fn_name")
    source = _with_imports(code, _BEFORE_CALL if name else "")

    def program(given: Any, expected: Any) -> Program:
        most = _most_output(cases, expected)
        if not name:
            return Program(source, stdin=_text(given), timeout=_CPU_SECONDS, output_bytes=most)
        text = _CALLER.format(arguments=json.dumps(given), name=name, marker=_RESULT)
        called = source + _CALL.format(text=text)
        return Program(called, name=IMPORTED, timeout=_CPU_SECONDS, output_bytes=most)

    return list(map(program, cases["inputs"], cases["outputs"]))


def _most_output(cases: dict[str, Any], expected: Any) -> int:
    """How many bytes of a program's output are kept: more than a right one has.

    In whole megabytes, so that the number does not tell a program what is expected.
    """
    if cases.get("fn_name"):
        # A tuple or a dictionary is longer in a program's output than in the data.
        right = 4 * len(json.dumps(expected))
    else:
        right = 2 * len(_text(expected).encode("utf-8", "surrogatepass"))
    return (right // _MEGABYTE + 1) * _MEGABYTE


def verdict(cases: dict[str, Any], outcomes: Sequence[Outcome], *, like_apps: bool) -> SampleRow:
    """``passed`` (all cases pass: APPS' "strict accuracy"), and how many ``cases_passed`` of ``cases``.

    Args:
        like_apps: compare as APPS' own runner does, which accepts some wrong outputs; else token by token with a
            tolerance.
    """
    # The prompt was not asked, so there is no answer.
    if not outcomes:
        return {"cases_passed": 0, "cases": len(cases["outputs"])}
    same = apps_same_output if like_apps else same_output
    failures: list[tuple[str, str | None]] = []
    for number, (expected, outcome) in enumerate(zip(cases["outputs"], outcomes, strict=True), 1):
        if not outcome.passed:
            failures.append((outcome.outcome, f"case {number}: {outcome.exception}"))
        elif outcome.stdout_is_full:
            most = show_bytes(_most_output(cases, expected))
            failures.append(("failed", f"case {number}: wrong answer: {most} of output or more"))
        elif cases.get("fn_name"):
            if not _returned(expected, outcome.stdout, like_apps=like_apps):
                failures.append(("failed", f"case {number}: wrong answer"))
        elif not same(_text(expected), outcome.stdout):
            failures.append(("failed", f"case {number}: wrong answer"))
    first = failures[0] if failures else ("passed", None)
    passed = len(outcomes) - len(failures)
    return {
        "passed": not failures,
        "outcome": first[0],
        "detail": first[1],
        "cases_passed": passed,
        "cases": len(outcomes),
    }


def _with_imports(code: str, before: str = "") -> str:
    future, code = split_future_imports(code)
    words = set(re.findall(r"\w+", code))
    imports = "; ".join(line for line, names in _IMPORTS.items() if words.intersection(names))
    first = f"import sys; sys.set_int_max_str_digits(0); exit = quit = sys.exit; {before}"
    return f"{future}{first}\n{imports}\n{code}\n"


def _text(lines: str | list[Any]) -> str:
    """An input or output as text. In some problems it is a list of lines."""
    return "\n".join(map(str, lines)) if isinstance(lines, list) else str(lines)


def _returned(expected: Any, stdout: str, *, like_apps: bool) -> bool:
    """Whether the value that the program printed last is ``expected``, or its first item.

    (Half of APPS' call-based problems wrap the expected value in a list.)
    """
    _, marker, text = stdout.rpartition(f"\n{_RESULT}")
    if not marker:
        return False
    try:
        result = _unpacked(json.loads(text.split("\n")[0]))
        if like_apps:
            return apps_same_value(expected, result)
        plain = json.loads(json.dumps(result))
        if same_value(expected, plain):
            return True
        return isinstance(expected, list) and bool(expected) and same_value(expected[0], plain)
    except (ValueError, TypeError, KeyError, RecursionError):
        # The program may have printed this line itself.
        return False


def _unpacked(value: Any) -> Any:
    """The value that the program's function ``packed`` encoded."""
    if isinstance(value, list):
        return [_unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_unpacked(each) for each in value["tuple"])
    return {_unpacked(key): _unpacked(each) for key, each in value["dict"]}
