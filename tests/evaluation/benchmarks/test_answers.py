from __future__ import annotations

import pytest

from codecascade.evaluation.benchmarks.answers import fenced_code, first_line, last_number, sanitized


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 18.", "18"),
        ("She pays $1,234.50 in all.", "1234.5"),
        ("so 5 - 8 = -3", "-3"),
        ("from 10-15", "15"),
        ("It is 12.00 dollars", "12"),
        ("-$7", "-7"),
        ("no number", None),
        ("#### 70,000", "70000"),
        ("half, or 0.5", "0.5"),
    ],
)
def test_the_last_number(text: str, number: str | None) -> None:
    assert last_number(text) == number


def test_the_first_line_that_is_not_blank() -> None:
    assert first_line("\n   \n  Return it. \nMore.") == "Return it." and first_line(" \n") == ""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1", "x = 1"),
        ("Sure:\n```python\nx = 1\n```\nthen\n```\ny\n```", "x = 1\n"),
        ("```\nx = 1", "x = 1"),
        ("A: ```x = 1```", "x = 1"),
        ("def f():\n    '''Text.'''\n    return 1\n", "def f():\n    '''Text.'''\n    return 1\n"),
        ("```\ndef f():\n    '''Text.'''\n```", "def f():\n    '''Text.'''\n"),
    ],
)
def test_the_first_block_of_code(text: str, code: str) -> None:
    assert fenced_code(text) == fenced_code(text, quotes=True) == code


def test_of_several_blocks_the_one_with_the_function() -> None:
    reply = "```sh\npip\n```\n```\ndef f(): 1\n```"
    assert fenced_code(reply, holding="def f(") == "def f(): 1\n"
    assert fenced_code(reply, holding="def g(") == fenced_code(reply) == "sh\npip\n"
    assert fenced_code("def f(): 1``` is it", holding="def f(") == "def f(): 1", "the prompt opened the block"


def test_quotes_are_fences_only_where_they_are_asked_for_and_begin_a_line() -> None:
    program = "def f():\n    '''Text.'''\n    return 1\n"
    reply = f"Here:\n'''python\n{program}'''\nDone."
    assert fenced_code(reply, quotes=True) == program and fenced_code(reply) == reply
    assert fenced_code(f"'''{program}", quotes=True) == program


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
