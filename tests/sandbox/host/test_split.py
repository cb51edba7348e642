"""Tests that run apart from what they test: outcomes of honest programs, and nothing for a cheat to reach."""

from __future__ import annotations

import pytest

from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox

ADD = "def f(a, b):\n    return a + b"


def apart(source: str, tests: str, *, given: str = "", timeout: float = 2.0) -> Program:
    return Program(source, tests=tests, calls=("f",), given=given, timeout=timeout)


@pytest.mark.parametrize(
    ("source", "tests", "outcome", "exception"),
    [
        (ADD, "assert f(1, b=2) == 3", "passed", None),
        (ADD, "assert f(1, 2) == 4, 'not so'", "failed", "AssertionError: not so"),
        (ADD, "assert (", "failed", "SyntaxError: '(' was never closed (tests.py, line 1)"),
        (ADD, "f(1, '')", "failed", "TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
        ("", "f(1)", "failed", "NameError: name 'f' is not defined"),
        ("def f(:", "f(1)", "failed", "SyntaxError: invalid syntax (program.py, line 1)"),
        ("raise KeyError('k')", "pass", "failed", "KeyError: 'k'"),
        ("class E(ValueError): pass\ndef f(): raise E('own')", "f()", "failed", "E: own"),
        ("import sys\nsys.exit(0)", "pass", "failed", "SystemExit: 0"),
        ("import os\ndef f(): os._exit(0)", "f()", "failed", "left before its end"),
        ("import os\ndef f(): os.kill(os.getpid(), 9)", "f()", "killed", "killed by signal 9"),
        ("def f():\n    while True: pass", "f()", "timed_out", "no end after 0.5 s of CPU time"),
        (ADD, "while f(1, 2): pass", "timed_out", "no end after 0.5 s of CPU time"),
        ("def f(): return f()", "f()", "failed", "RecursionError: maximum recursion depth exceeded"),
        ("def f(): return bytearray(10**12)", "f()", "out_of_memory", "MemoryError"),
        (
            "import os\nif os.fork() == 0: raise SystemExit\ndef f(): return 1",
            "assert f() == 1",
            "passed",
            None,
        ),
        (
            "class A:\n    def __eq__(self, other): return True\ndef f(): return A()",
            "assert f() == 1",
            "failed",
            "TypeError: a value of type A can't be handed to the tests",
        ),
    ],
)
def test_outcomes_are_those_of_tests_in_the_program(
    sandbox: Sandbox, source: str, tests: str, outcome: str, exception: str | None
) -> None:
    found = sandbox.run(apart(source, tests, timeout=0.5))
    assert found.outcome == outcome, found
    assert (found.exception or "").startswith(exception or ""), found
    assert found.tests_apart


@pytest.mark.parametrize(
    ("source", "tests"),
    [
        ("def f(a): a.append(1); return a", "a = []\nb = f(a)\nassert b is a and a == [1]"),
        (
            "def f(a): a[0][0].add(2); return 0",
            "s = {1}\na = [(s,)]\nf(a)\nassert s == {1, 2} and a[0][0] is s",
        ),
        ("def f(a, b): a.append(1); return a is b", "a = []\nassert f(a, a) is True and a == [1]"),
        (
            "def f(d): d['x'] = d.pop('y')",
            "d = {'y': [1]}\ny = d['y']\nf(d)\nassert d == {'x': [1]} and d['x'] is y",
        ),
        (
            "def f(c): c['a'] += 1; return c",
            "from collections import Counter\nc = Counter('a')\nassert f(c) is c and c['a'] == 2",
        ),
        (
            "from collections import OrderedDict\ndef f(d): return OrderedDict(sorted(d.items()))",
            "from collections import OrderedDict\nd = OrderedDict([(1, 2), (2, 1)])\n"
            "assert f({2: 1, 1: 2}) == d and f({1: 1, 2: 1}) != OrderedDict([(2, 1), (1, 1)])",
        ),
        ("import numpy\ndef f(a): a *= 2", "import numpy\na = numpy.array([1])\nf(a)\nassert a[0] == 2"),
        (
            "def f(n):\n    x = None\n    for _ in range(n): x = [x]\n    return x",
            "x = f(5000)\nn = 0\nwhile x: x, n = x[0], n + 1\nassert n == 5000",
        ),
        (
            "def f(a): a.append(1); raise ValueError",
            "a = []\ntry: f(a)\nexcept ValueError: pass\nassert a == [1]",
        ),
        ("def f(n): yield from range(n)", "g = f(3)\nassert next(g) == 0 and list(g) == [1, 2]"),
        (
            "import itertools\ndef f(): return itertools.count(5)",
            "g = f()\nassert [next(g), next(g)] == [5, 6]",
        ),
        ("def f(x): return x", "assert f(f([1])) == [1]"),
        ("def f(n): return (x for x in range(n))", "assert sum(f(3)) == 3 and sorted(map(f, [1]), key=id)"),
        (
            "def f(x): return x",
            "import math\nassert math.isnan(f(math.nan)) and f(-0.0).hex() == '-0x0.0p+0'",
        ),
        ("def f(x): return 10 ** x", "assert f(6000) == 10 ** 6000"),
        (
            "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return [P(1, 2)]",
            "assert f() == [(1, 2)]",
        ),
        (
            "def f(x): return x + 1",
            "from fractions import Fraction\nfrom decimal import Decimal\n"
            "assert f(Fraction(1, 2)) == Fraction(3, 2) and f(Decimal('1.5')) == Decimal('2.5')",
        ),
        (
            "def f(x): return sorted(x)",
            "from decimal import Decimal\nassert f({Decimal(2): 1}) == [2] and f({Decimal(3)}) == [Decimal(3)]",
        ),
        ("import re\ndef f(x): return re.match('a', x)", "assert f('a') and not f('b') and f('a') != 'a'"),
        ("def f(x): return {1: 2}.keys()", "assert f(0) == {1} and f(0) != [1]"),
        ("def f(x): return type(x)", "assert f(1) is int and f('') != int"),
        (
            "class E(KeyError): pass\ndef f(x): raise E('a', [x])",
            "try: f(1)\nexcept KeyError as error: assert error.args == ('a', [1])\nelse: assert False",
        ),
        ("def f(x): next(iter([]))", "try: f(1)\nexcept StopIteration: pass\nelse: assert False"),
    ],
)
def test_values_cross_as_copies_that_keep_their_shape(best: Sandbox, source: str, tests: str) -> None:
    outcome = best.run(apart(source, tests))
    assert outcome.passed, outcome


def test_helpers_are_those_that_were_given(best: Sandbox) -> None:
    source = "def helper(x): return 0\ndef f(x): return 0"
    assert not best.run(apart(source, "assert f(3) == helper(3)", given="def helper(x): return x + 1")).passed


def test_a_call_can_be_given_a_time_of_its_own(best: Sandbox) -> None:
    slow = "def f(n):\n    while n: pass\n    return n"
    tests = "assert f.within(0.1)(0) == 0\nf.within(0.1)(1)"
    outcome = best.run(apart(slow, tests, timeout=5))
    assert outcome.outcome == "failed" and "longer than 0.1 s" in (outcome.exception or ""), outcome


def test_what_a_program_prints_is_there(best: Sandbox) -> None:
    source = "import sys\nprint('loaded')\ndef f(x):\n    print(x)\n    print('error', file=sys.stderr)"
    outcome = best.run(apart(source, "f(1)\nf(2)"))
    assert (outcome.outcome, outcome.stdout, outcome.stderr) == ("passed", "loaded\n1\n2\n", "error\n" * 2)


def test_a_traceback_is_the_programs(best: Sandbox) -> None:
    outcome = best.run(apart("def f():\n    return 1 / 0", "f()"))
    assert outcome.stderr.splitlines()[1:] == [
        '  File "program.py", line 2, in f',
        "ZeroDivisionError: division by zero",
    ]
    outcome = best.run(apart(ADD, "\nassert f(1, 2) == 4"))
    assert outcome.stderr.splitlines()[1:] == ['  File "tests.py", line 2, in <module>', "AssertionError"]


NEAR = "def check(candidate):\n    assert abs(candidate(-1, 0) + 1) < 1e-6\ncheck(f)"
CLOSE = "import math\nassert math.isclose(f(-1, 0), -1)"
EQUAL = "def check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(-1, 0) == -1\ncheck(f)"
WRONG = "def f(a, b):\n    return 4\n"
YES = (
    "    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
    "    def __add__(self, other): return 0\n    def __float__(self): return -1.0\n"
)
# Wrong programs that pass these tests where the tests run in their process.
CHEATS = {
    "an audit hook patches the builtins": (
        "import sys, builtins\n"
        "def hook(event, args):\n"
        "    if event == 'exec': builtins.abs = lambda x: -1\n"
        "sys.addaudithook(hook)\n" + WRONG,
        NEAR,
    ),
    "a name of the module shadows a builtin": ("abs = lambda x: -1\n" + WRONG, NEAR),
    "a finaliser patches the builtins": (
        "import builtins\n"
        "class Late:\n"
        "    def __del__(self): builtins.abs = lambda x: -1\n"
        "late = [Late()]\n"
        "def f(a, b):\n    late.clear()\n    return 4\n",
        "assert f(0, 4) == 4\n" + NEAR,
    ),
    "a module is patched": ("import math\nmath.isclose = lambda *a: True\n" + WRONG, CLOSE),
    "an import finds another module": (
        "import sys, types\nsys.modules['math'] = types.SimpleNamespace(isclose=lambda *a: True)\n" + WRONG,
        CLOSE,
    ),
    "an audit hook traces the tests": (
        "import sys\n"
        "def trace(frame, event, arg):\n"
        "    if frame.f_code.co_name == 'check' and event == 'line':\n"
        "        last = max(line for _, _, line in frame.f_code.co_lines() if line)\n"
        "        frame.f_trace_lines = False\n"
        "        frame.f_lineno = last\n"
        "    return trace\n"
        "sys.addaudithook(lambda event, args: sys.settrace(trace) if event == 'exec' else None)\n"
        "def f(a, b):\n    return -1\n",
        EQUAL,
    ),
    "the function traces its caller": (
        "import sys\n"
        "def f(a, b):\n"
        "    caller = sys._getframe(1)\n"
        "    def trace(frame, event, arg):\n"
        "        if frame is caller and event == 'line':\n"
        "            last = max(line for _, _, line in frame.f_code.co_lines() if line)\n"
        "            if frame.f_lineno != last: frame.f_lineno = last\n"
        "        return trace\n"
        "    caller.f_trace = trace\n"
        "    sys.settrace(trace)\n"
        "    return 5\n",
        EQUAL.replace("check(f)", "    return\ncheck(f)"),
    ),
    "an object equals everything": (f"class Yes:\n{YES}def f(a, b):\n    return Yes()\n", EQUAL),
    "a number equals everything": (f"class Yes(int):\n{YES}def f(a, b):\n    return Yes(4)\n", EQUAL),
    "a text equals everything": (f"class Yes(str):\n{YES}def f(a, b):\n    return Yes(4)\n", EQUAL),
    "a list of what equals everything": (
        f"class Yes(float):\n{YES}def f(a, b):\n    return [Yes(4)]\n",
        "assert f(2, 3) == [5]",
    ),
    "the tests are read from the frames": (
        "import sys\n"
        "def f(a, b):\n"
        "    constants = sys._getframe(1).f_code.co_consts\n"
        "    return next(c for c in constants if isinstance(c, int) and c not in (a, b))\n",
        "def check(candidate):\n    assert candidate(2, 3) == 5\ncheck(f)",
    ),
    "the heap is searched for the tests": (
        "import gc, types\n"
        "def f(a, b):\n"
        "    for each in gc.get_objects():\n"
        "        if isinstance(each, types.FunctionType) and each.__name__ == 'later':\n"
        "            each.__code__ = (lambda: None).__code__\n"
        "    return 5\n",
        "def later():\n    assert f(-1, 0) == -1\nassert f(2, 3) == 5\nlater()",
    ),
    "a later test is replaced": (
        "import sys\ndef f(a, b):\n    sys.modules['__main__'].later = lambda: None\n    return 5\n",
        "def later():\n    assert f(-1, 0) == -1\nassert f(2, 3) == 5\nlater()",
    ),
    "native code changes a number": (
        "import ctypes\ndef f(a, b):\n    ctypes.memmove(id(5), id(4), 32)\n    return 4\n",
        "def check(candidate):\n    assert candidate(2, 3) == 5\ncheck(f)",
    ),
}
# Those that go for what is new in tests that run apart.
ATTACKS = {
    "answers lie ready before they are asked for": (
        "import os, struct\n"
        "for answer in (b'V[5,[],[],[]]', b'P'):\n"
        "    for tag in (bytes(8), b'', os.urandom(8)):\n"
        "        os.write(3, struct.pack('<Q', len(tag + answer)) + tag + answer)\n"
    ),
    "the same answer twice": (
        "import os\n"
        "real = os.write\n"
        "os.write = lambda n, data: (real(n, data), real(n, data))[0] if n == 3 else real(n, data)\n"
        "def f(a, b): return 5 if a == 2 else 4"
    ),
    "a pass is claimed": (
        "import os\nfor n in range(3, 50):\n    try: os.write(n, b'P' * 64)\n    except OSError: pass\n"
    ),
    "the process of the tests is attacked": (
        "import os, signal\n"
        "for name in os.listdir('/proc'):\n"
        "    if name.isdigit() and int(name) not in (os.getpid(), os.getppid()):\n"
        "        try: open(f'/proc/{name}/mem', 'r+b')\n        except OSError: pass\n"
        "        try: os.kill(int(name), signal.SIGINT)\n        except OSError: pass\n"
    ),
    "an answer of very many bytes": "import os\nos.write(3, (1 << 40).to_bytes(8, 'little'))\n",
    "an answer of nested lists": (
        "import os\nbody = bytes(8) + b'V' + b'[' * 1_000_000\n"
        "data = len(body).to_bytes(8, 'little') + body\n"
        "while data: data = data[os.write(3, data):]\n"
    ),
    "a value that takes long to compare": (
        "def f(a, b):\n    x = []\n    for _ in range(60): x = [x, x]\n    return x\n"
    ),
    "an iterator without end": "import itertools\ndef f(a, b): return itertools.count()\n",
    "an exception of a name of ours": (
        "class StopIteration(BaseException): pass\ndef f(a, b): raise StopIteration('P')\n"
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_no_cheat_passes(best: Sandbox, name: str) -> None:
    source, tests = CHEATS[name]
    assert best.run(Program(source, tests=tests)).passed, "it fools nobody"
    outcome = best.run(apart(source, tests))
    assert outcome.outcome == "failed", outcome
    assert best.run(
        apart(ADD, tests) if "[5]" not in tests else apart("def f(a, b): return [a + b]", tests)
    ).passed


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_passes(sandbox: Sandbox, name: str) -> None:
    tests = (
        "deep = []\nfor _ in range(60): deep = [deep, deep]\n"
        "x = f(2, 3)\nassert x == 5 or x == deep\ny = f(-1, 0)\nassert y == -1 or y == deep"
    )
    source = ATTACKS[name] if "def f" in ATTACKS[name] else ATTACKS[name] + WRONG
    outcome = sandbox.run(apart(source, tests, timeout=0.5))
    assert outcome.outcome in ("failed", "timed_out", "killed"), outcome
    assert sandbox.run(apart(ADD, tests)).passed


def test_the_end_of_an_iterator_is_no_answer_to_a_call(best: Sandbox) -> None:
    ends = "import os\ntag = os.read(3, 1000)[8:16]\nos.write(3, (9).to_bytes(8, 'little') + tag + b'S')"
    outcome = best.run(apart(ends, "assert f(1)"))
    assert outcome.outcome == "failed" and "what is no value" in (outcome.exception or ""), outcome


@pytest.mark.parametrize("kills", ["os.kill(os.getppid(), 9)", "os.kill(-1, 9)", "os._exit(0)", "os.abort()"])
def test_when_the_judging_process_dies_that_is_no_pass(best: Sandbox, kills: str) -> None:
    outcome = best.run(apart(ADD, f"import os\n{kills}\nimport time\ntime.sleep(0.2)"))
    assert outcome.outcome == "failed", outcome
    assert best.run(apart(ADD, "assert f(1, 2) == 3")).passed
