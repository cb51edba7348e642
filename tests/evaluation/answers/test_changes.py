"""What fills a table or changes a setting is kept with the function that needs it; examples of its use are not."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.evaluation.answers.python_code import sanitized, with_needed_definitions
from codecascade.evaluation.answers.replies import program_in

FILLED = {
    "by a function": "T = [2]\ndef fill():\n    for i in range(9):\n        T.append(i)\nfill()\n",
    "by a function that another calls": (
        "T = []\ndef put(x):\n    T.append(x)\n"
        "def fill():\n    if len(T) < 3:\n        put(1)\n        fill()\nfill()\n"
    ),
    "that is global": "T = None\ndef init():\n    global T\n    T = 5\ninit()\n",
    "that is global and nowhere else": "def init():\n    global T\n    T = 5\ninit()\n",
    "that is handed over": "T = []\ndef fill(table, n=3):\n    table[0:0] = range(n)\nfill(T)\n",
    "that is handed on": "T = []\ndef put(t):\n    t.append(1)\ndef fill(table):\n    put(table)\nfill(table=T)\n",
    "by a module": "import heapq\nT = [3, 1, 2]\nheapq.heapify(T)\n",
    "by a module of another name": "from heapq import heappush as push\nT = []\nfor i in (3, 1):\n    push(T, i)\n",
    "by a module with all its names": "from random import *\nT = [1, 2]\nshuffle(T)\n",
    "whose last part is taken": "import heapq\nT = [3, 1, 2]\nleast = heapq.heappop(T)\nlast = T.pop()\n",
    "in a loop": "T = {}\ndef put(i):\n    T[i] = i\nfor i in range(3):\n    put(i)\n",
    "in a class": "class T:\n    x = {}\ndef init():\n    T.x[1] = 2\ninit()\n",
    "of a recursion": "import sys\nsys.setrecursionlimit(10**6)\nT = 0\n",
    "of numbers": "from decimal import getcontext\ngetcontext().prec = 50\nT = 0\n",
    "of draws, as far as another value": "import random\nN = 3\nrandom.seed(N)\nT = 0\n",
}
"""Programs before ``f``, all of whose statements it needs."""


@pytest.mark.parametrize("program", FILLED.values(), ids=FILLED)
def test_what_fills_a_table_is_kept(program: str) -> None:
    whole = program + "def f(a):\n    return T\n"
    assert sanitized(whole + "x = f(1)\nprint(x)\nf(2)\n", "f") == whole
    assert sanitized(sanitized(whole, "f"), "f") == whole


TABLE = "T = [1]\ndef fill():\n    T.append(1)\n"
SHOWN = [
    "N = int(input())\ndef fill():\n    T.append(N)\nfill()\n",
    "M = {}\nfor line in open(0):\n    M[line] = 1\ndef fill():\n    T.extend(M)\nfill()\n",
    "f(1)\n",
    "print(f(1))\n",
    "fill(), print(T)\n",
    "def main():\n    fill()\n    print(f(3))\nmain()\n",
    "def test():\n    T.clear()\n    assert f(1) == []\ntest()\n",
    "def check():\n    T.append(1)\n    assert len(T) == 2\ncheck()\n",
    "def read():\n    T.append(int(input()))\nread()\n",
    "def read():\n    import sys\n    T.extend(sys.stdin)\nread()\n",
    "def again():\n    read()\ndef read():\n    T.extend(open(0))\nagain()\n",
    "def again(t):\n    t.append(f(t))\nagain(T)\n",
    "for n in range(3):\n    fill()\n    print(f(n))\n",
    "def show(t):\n    return len(t)\nshow(T)\n",
    "fill\nlen(T)\nsorted(T)\nlist(T)\n",
    "import json, pprint\npprint.pprint(T)\njson.dumps(T)\n",
    "cases = []\ndef add(c):\n    cases.append(c)\nadd(1)\n",
    "def local():\n    T = []\n    T.append(1)\nlocal()\n",
    "def local(T):\n    T = T + [1]\nlocal(T)\n",
    "import sys\nsys.exit(f(1))\n",
    "import sys\nsys.setrecursionlimit(int(input()))\n",
    "import time, unittest\ntime.sleep(9)\nunittest.main()\n",
    "def seed(n):\n    pass\nseed(3)\n",
    "if __name__ == '__main__':\n    fill()\n",
    "".join(f"def u{n}():\n    T.append({n})\n" for n in range(200)) + "u0()\n",
]
"""What may stand behind ``f`` and is not needed: examples, tests, scripts."""


@pytest.mark.parametrize("program", SHOWN)
def test_examples_of_use_are_left_out(program: str) -> None:
    found = sanitized("T = [1]\ndef f(a):\n    return T\n" + program, "f")
    imports = "".join(line for line in program.splitlines(keepends=True) if line.startswith("import"))
    assert found == "T = [1]\ndef f(a):\n    return T\n" + imports
    assert "fill()\n" not in sanitized(TABLE + "def f(a):\n    return T\n" + program, "f")


def test_a_setting_brings_no_more_than_it_needs() -> None:
    program = "import sys\nsys.setrecursionlimit(9)\ndef f(a):\n    return a\n"
    assert sanitized(program + "sys.argv = []\nsys.stdin = open(0)\n", "f") == program


def test_what_another_block_fills_is_taken_with_its_table() -> None:
    filled = "T = [2]\ndef fill():\n    T.append(3)\nfill()\n"
    program = "def f(a):\n    return T[a]\n"
    assert with_needed_definitions(program, [filled + "print(T)\n"]) == filled + program
    reply = f"First:\n```python\n{filled}```\nThen:\n```python\n{program}print(f(1))\n```\n"
    assert sanitized(program_in(reply, {"f"}), "f") == filled + program


PARTS = """import bisect, random
T, D, N = [], {}, 0
def fill():
    T.append(1)
def put(t, x=2):
    t.append(x)
def deep():
    put(T)
def init():
    global N
    N += 1
def far():
    init()
    deep()
def table(d):
    d[len(d)] = T[:]
    return d
"""
_calls = st.sampled_from(
    [
        "fill()",
        "put(T)",
        "put(T, x=N)",
        "deep()",
        "init()",
        "far()",
        "table(D)",
        "bisect.insort(T, 0)",
        "random.seed(1)",
        "random.shuffle(T)",
        "for i in range(2): far()",
        "if N: fill()",
        "D[0] = N",
        "T.sort()",
        "put([])",
        "print(f())",
        "y = f()",
        "f()",
        "assert f()",
    ]
)


@given(st.lists(_calls, max_size=8), st.sets(st.sampled_from("TDN"), min_size=1))
def test_a_function_answers_as_it_does_in_its_whole_program(calls: list[str], used: set[str]) -> None:
    """Its tables are as full, whichever of them it reads."""
    seeded = ["random.seed(0)", *calls]
    program = f"{PARTS}def f():\n    return [{', '.join(sorted(used))}]\n" + "\n".join(seeded)
    shorter = sanitized(program, "f")
    assert _answer(shorter) == _answer(program) and "print" not in shorter and "assert" not in shorter
    assert ("def init" in shorter) <= any("init" in call or "far" in call for call in calls)


def _answer(program: str) -> Any:
    names: dict[str, Any] = {}
    limit = sys.getrecursionlimit()
    with contextlib.redirect_stdout(io.StringIO()):
        exec(program, names)
    assert sys.getrecursionlimit() == limit
    return names["f"]()
