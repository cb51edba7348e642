"""Which tests can run apart from the program that they test, and which may share a process with others."""

from __future__ import annotations

import pytest

from codecascade.sandbox.host.split import can_share_process
from codecascade.sandbox.splitting import SplitDecision, split_tests

REFERENCE = "import math\nLIMIT = 3\ndef g(x): return x\ndef f(x): return g(x)\nclass Node: pass\n"


@pytest.mark.parametrize(
    ("tests", "calls"),
    [
        ("assert f(1) == 2", ("f",)),
        ("assert set(f([1], key=2)) == {1}\nassert f('a').upper() == 'A'", ("f",)),
        ("assert f(g(1)) == 2", ("f", "g")),
        ("def check(candidate):\n    for x in range(3):\n        assert candidate(x) == x\ncheck(f)", ("f",)),
        ("import random\nx = random.Random(1)\nassert f(x.randint(1, 2))", ("f",)),
        ("def same(a, b): assert a == b\nsame(f(1), 2)", ("f",)),
        ("assert f(len) and f(math.sqrt)", ("f",)),
        ("assert unknown(1)", ("unknown",)),
        ("assert callable(f) and isinstance(f(1), (list, type(None)))", ("f",)),
        ("import numpy\nx = f(1)\nassert isinstance(x, numpy.ndarray)", ("f",)),
        ("import types\nassert isinstance(1, types.ModuleType) or f(1)", ("f",)),
        # What can't be told apart from their text.
        ("assert f(", ()),
        ("assert 1", ()),
        ("assert f(Node()) == 1", ()),
        ("assert f(Other(1)) == 1", ()),
        ("class Mine: pass\nassert f(Mine())", ()),
        ("assert f(lambda x: x) == 1", ()),
        ("h = lambda x: x\nassert f(h) == 1", ()),
        ("def h(x): return x\nassert f([h]) == 1", ()),
        ("assert f(g) == 1", ()),
        ("assert f(1)(2) == 3", ()),
        ("h = f(1)\nassert h(2) == 3", ()),
        ("assert f(1).left == 2", ()),
        ("root = f(1)\nroot.left = 2\nassert g(root)", ()),
        ("for each in f(1):\n    assert each.value", ()),
        ("assert callable(f(1))", ()),
        ("h = f(1)\nassert callable(h)", ()),
        ("assert isinstance(f(1), ValueError)", ()),
        ("import types\nassert isinstance(f(1), types.GeneratorType)", ()),
        ("assert f.calls == 0", ()),
        ("assert isinstance(1, f)", ()),
        ("globals()['f'](1)\nf(2)", ()),
        ("import sys\nf(1)\nassert sys.stdout.getvalue()", ()),
        ("from unittest import mock\nf(1)", ()),
        ("assert f(x for x in [1])", ()),
    ],
)
def test_what_tests_call(tests: str, calls: tuple[str, ...]) -> None:
    assert split_tests(tests, REFERENCE).calls == calls


def test_helpers_come_from_the_reference() -> None:
    found = split_tests("assert f(g(1)) == LIMIT + math.pi", REFERENCE, "f")
    assert found == SplitDecision(("f",), "import math\nLIMIT = 3\ndef g(x):\n    return x")
    assert split_tests("assert f(1) == helper(1)", REFERENCE, "f") == SplitDecision()


def test_a_function_with_the_name_of_a_builtin_is_the_programs() -> None:
    assert split_tests("assert sum(1, 2) == 3", "def sum(a, b): return a + b").calls == ("sum",)


@pytest.mark.parametrize(
    ("text", "nothing"),
    [
        ("import math, random\ndef check(f):\n    assert f(random.random()) < math.pi\ncheck(f)", True),
        ("x = {'author': 'a'}\nassert f(x) == sorted(x)", True),
        ("import keyword\nf(keyword.kwlist)", False),
        ("import math\nmath.pi = 3", False),
        ("from os import environ", False),
        ("setattr(f, 'x', 1)", False),
        ("f.__globals__['x'] = 1", False),
        ("__builtins__.abs = f", False),
        ("exec('x')", False),
        ("class A: pass", False),
    ],
)
def test_which_tests_leave_nothing_behind(text: str, nothing: bool) -> None:
    assert can_share_process(text) is nothing
