from __future__ import annotations

import ast
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.evaluation.answers.parsing import lines_of, longest_program
from codecascade.evaluation.answers.python_code import (
    append_program,
    declares,
    missing_names,
    sanitized,
    split_future_imports,
    with_needed_definitions,
)


def test_a_sanitized_program_is_what_its_entry_point_needs() -> None:
    program = """from os import *
LIMIT = 3
OTHER = 4
try:
    import cmath
except ImportError:
    cmath = None

def helper(x):
    return x + LIMIT

@staticmethod
def unused(x):
    return helper(x)

def f(x):
    return helper(x) or cmath

print(f(1))
assert f(1) == 5
if __name__ == "__main__":
    f(int(input()))
"""
    found = sanitized(program, "f")
    assert "import *" in found and "LIMIT = 3" in found and "cmath = None" in found and "def helper" in found
    assert not any(
        text in found for text in ("OTHER", "unused", "staticmethod", "print", "assert", "__main__")
    )
    assert sanitized(program, "unused").startswith("from os import *\nLIMIT = 3\ndef helper")
    assert "@staticmethod\ndef unused" in sanitized(program, "unused")


@pytest.mark.parametrize(
    "text",
    ["-" * 50_000 + "1", "(" * 500, "a" + ".a" * 20_000, "[" * 90 + "]" * 90, "x = '\\d'", "\0", "\ud800"],
)
def test_what_no_parser_likes_does_no_harm(text: str, recwarn: pytest.WarningsRecorder) -> None:
    assert sanitized(f"def f(): pass\n{text}", "f") == "def f(): pass\n" and not recwarn.list


def test_lines_are_those_that_python_counts() -> None:
    program = "def f():\r\n    return '\u2028\x0c'\r\n\nf()\n"
    assert sanitized(program, "f") == program.removesuffix("\nf()\n")


def test_a_program_that_was_cut_off_is_sanitized_as_far_as_it_goes() -> None:
    assert sanitized("def f():\n    return 1\n\nprint(f(", "f") == "def f():\n    return 1\n"
    assert sanitized("this is no program", "f") == "this is no program" and sanitized("", "f") == ""


_LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda some: st.lists(some) | st.tuples(some, some) | st.dictionaries(st.text(), some),
    max_leaves=5,
)


@given(_LITERALS)
def test_a_literal_is_no_function(value: object) -> None:
    assert not declares(ast.parse(f"f = {value!r}\nf: object = {value!r}"), {"f"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("lambda x: x", True),
        ("g", True),
        ("math.floor", True),
        ("partial(g, 1)", True),
        ("G['x']", True),
        ("g or h", True),
        ("g if h else None", True),
        ("f(1)", False),
        ("[x for x in y]", False),
        ("{x: 1 for x in y}", False),
        ("(x for x in y)", False),
        ("f'{x}'", False),
        ("(a + b) / 2", False),
        ("a < b", False),
        ("not a", False),
    ],
)
def test_what_a_function_may_be_the_value_of(value: str, expected: bool) -> None:
    assert declares(ast.parse(f"f = {value}"), {"f"}) is expected


_SOME = [
    "def f(a):",
    "    return 1",
    "    '''",
    "x = (",
    ")",
    "Sure, it's this:",
    "y = 2",
    "",
    "  if a:",
    '"""',
    "else:",
    "@g",
]


@given(st.lists(st.sampled_from(_SOME), max_size=9), st.integers(0, 3))
def test_the_longest_program_is_the_longest(lines: list[str], start: int) -> None:
    """Leaping to the line of a mistake finds what trying every length finds."""

    def is_program(end: int) -> bool:
        try:
            return bool(ast.parse("".join(ended[start:end])).body)
        except SyntaxError:
            return False

    ended = [line + "\n" for line in lines]
    expected = max((end for end in range(start + 1, len(ended) + 1) if is_program(end)), default=None)
    found = longest_program(ended, start)
    assert (found[0] if found else None) == expected


def test_a_long_text_that_is_no_program_is_read_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: Counter[str] = Counter()
    parse = ast.parse
    monkeypatch.setattr(ast, "parse", lambda text: (tried.update(["parse"]), parse(text))[1])
    lines = ["def f():\n", "    return 1\n", *["it's a text\n"] * 2_000]
    found = longest_program(lines)
    assert found is not None and found[0] == 2 and tried["parse"] < 5


@pytest.mark.parametrize(
    ("program", "future"),
    [
        ("from __future__ import annotations\n\nx = 1\n", "annotations"),
        (
            "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n'Text.'\nfrom __future__ import annotations\nx = 1\n",
            "annotations",
        ),
        ("from __future__ import (\n    annotations,\n    division,\n)\nx = 1\n", "annotations, division"),
        ("from __future__ import annotations; import math; x = 1\n", "annotations"),
        ("from __future__ import (annotations,\n  division); x = 1\n", "annotations, division"),
        ("from __future__ import division\nfrom __future__ import annotations\nx = 1", "division"),
    ],
)
def test_a_whole_program_runs_behind_a_prompt(program: str, future: str) -> None:
    prompt = 'import re\n\ndef f():\n    """Text."""\n'
    text = append_program(prompt, program)
    names: dict[str, object] = {}
    exec(compile(text, "p.py", "exec", dont_inherit=True), names)
    assert names["x"] == 1 and "re" in names and text.startswith(f"from __future__ import {future}")
    _, rest = split_future_imports(program)
    assert len(lines_of(rest)) == len(lines_of(program)), "mistakes keep their lines"
    assert split_future_imports(rest) == ("", rest)


def test_what_is_no_program_by_itself_is_left_as_it_is() -> None:
    for program in (
        "    return 1\n",
        "x = 1\nfrom __future__ import annotations\n",
        "from __future__ import (",
        "__future__",
    ):
        assert append_program("prompt\n", program) == "prompt\n" + program


def test_missing_names_and_where_they_are() -> None:
    program = (
        "def f(a, *b, c=1, **d):\n    return [g(x) for x in a if (y := x)] + [y, len(b), c, d, math.pi]\n"
    )
    tree = ast.parse(program)
    assert missing_names(tree) == {"g", "math"}
    assert missing_names(ast.parse("from m import *\n" + program)) == set()
    earlier = [
        "import math, sys\nH = 1\n\ndef f(a): pass\n",
        "import os\n\ndef g(x):\n    return x + H\n\nH = 2\nprint(g(1))\n",
    ]
    whole = with_needed_definitions(program, earlier)
    assert missing_names(ast.parse(whole)) == set() and "print" not in whole and "os" not in whole
    assert whole.count("def f") == 1 and whole.endswith(program) and "H = 2" in whole and "H = 1" not in whole
