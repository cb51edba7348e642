"""What a model wrote as Python tests and programs, read as single assertions and as one function."""

from __future__ import annotations

import pytest

from codecascade.instruct.self_instruct.languages.answers import between_tags, fenced
from codecascade.instruct.self_instruct.languages.python import PYTHON
from codecascade.instruct.self_instruct.steps.tests import agreed_tests, says_name, stated
from codecascade.instruct.self_instruct.triplets import Question

FIVE = [f"assert f({n}) == {n + 1}" for n in range(5)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n".join(FIVE), FIVE),
        (
            "# Test case 1:\nassert f(1) == 2\n\n# Test case 2:\nassert f(2) == 3",
            ["assert f(1) == 2", "assert f(2) == 3"],
        ),
        ("1. assert f(1) == 2\n2) `assert f(2) == 3`\n- assert f(3) == 4", FIVE[1:4]),
        ("```python\nassert f(1) == 2, 'one and one'\n```", ["assert f(1) == 2"]),
        ("def test_f():\n    assert f(1) == 2\n\ntest_f()", ["assert f(1) == 2"]),
        (
            "class T(TestCase):\n  def test(self):\n    self.assertEqual(f(1), 2)\n    self.assertFalse(f(0))",
            ["assert f(1) == 2", "assert not f(0)"],
        ),
        ("values = [1, 2]\nassert f(values) == 3", ["assert f([1, 2]) == 3"]),
        ("assert f([\n    1,\n    2]) == {\n    'a': 1}", ["assert f([1, 2]) == {'a': 1}"]),
        ('assert f("it\'s") == \'say "hi"\'', ['assert f("it\'s") == \'say "hi"\'']),
        (
            "Sure! Here they are:\nassert f(1) == 2\nassert f( ==\nassert f(2) == 3",
            ["assert f(1) == 2", "assert f(2) == 3"],
        ),
        ("assert f(1) == 2\nassert f(1) == 2\nassert f(1)  ==  2", ["assert f(1) == 2"]),
        ("assert math.isclose(f(2), 1.5)", ["assert math.isclose(f(2), 1.5)"]),
        (
            "assert f(10 ** 9, [0] * 3, 'ab' * 4) == 2 * 10 ** 5",
            ["assert f(10 ** 9, [0] * 3, 'ab' * 4) == 2 * 10 ** 5"],
        ),
        ("assert f(1) == list(range(5))", ["assert f(1) == list(range(5))"]),
    ],
)
def test_assertions_stand_alone_on_a_line(text: str, expected: list[str]) -> None:
    assert PYTHON.assertions(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "import os\nassert os.system('true') == 0",
        "assert f(__import__('os').getcwd()) == 1",
        "assert f(open('/etc/passwd').read()) == 1",
        "assert f(1).__class__.__mro__ == 1",
        "assert f(exit(0)) == 1",
        "assert exec('1') is f(1)",
        "exit(0)",
        "assert True",
        "assert 1 == 1",
        "assert len([1]) == 1",
        "assert (f(1) == 2, 'always true')",
        "assert f(undefined_variable) == 1",
        "assert f(10 ** 10 ** 10) == 1",
        "assert f('a' * 10 ** 9) == 1",
        "assert f('a' * 999999999) == 1",
        "assert f('a' * 1000 * 1000 * 1000) == 1",
        "assert f([0] * (99999 * 99999)) == 1",
        "assert f(2 ** 9 ** 9) == 1",
        "assert sum(range(10 ** 12)) == f(1)",
        "assert f(bytes(999999999)) == 1",
        "assert f(1 << 10 ** 9) == 1",
        "assert f((x := 1)) == 1",
        "assert f(globals()) == 1",
        "assert f(1) == 2 if",
        "assert f('\x1b]0;title\x07') == '\x00'",
    ],
)
def test_what_reaches_out_of_a_test_or_says_nothing_is_left_out(text: str) -> None:
    assert PYTHON.assertions(text) == []


def test_reading_is_bounded() -> None:
    many = "\n".join(f"assert f({n}) == {n}" for n in range(5000))
    assert len(PYTHON.assertions(many)) == 50
    assert PYTHON.assertions("assert f('" + "x" * 100_000 + "') == 1") == []
    assert PYTHON.assertions("assert f(" + "[" * 5000) == []
    broken = "assert f(\n" * 3000
    assert PYTHON.assertions(broken) == []


@pytest.mark.parametrize(
    ("answer", "inside"),
    [
        ("a\n[/TESTS]\nmore", "a"),
        ("[TESTS]\na\n[/TESTS]", "a"),
        ("Here:\n[TESTS]\na\n[/TESTS]\n[TESTS]\nb\n[/TESTS]", "a"),
        (
            "assert f('[/TESTS]') == 1\nassert f(2) == 1 [/TESTS]",
            "assert f('[/TESTS]') == 1\nassert f(2) == 1 ",
        ),
        ("no tags", "no tags"),
        ("<think>\n[TESTS]\nwrong\n[/TESTS]\n</think>\n[TESTS]\na\n[/TESTS]", "a"),
    ],
)
def test_tags_count_at_the_ends_of_lines(answer: str, inside: str) -> None:
    assert between_tags(answer, "TESTS") == inside


def test_the_entry_point_is_the_function_that_most_tests_call() -> None:
    tests = ["assert g(1) == 1", "assert f(1) == 1", "assert f(2) == g(2)", "assert f(3) == 3"]
    assert agreed_tests(tests, "", PYTHON) == ("f", ("assert f(1) == 1", "assert f(3) == 3"))
    assert agreed_tests(tests, "g", PYTHON) == ("g", ("assert g(1) == 1",))
    assert agreed_tests([], "", PYTHON) == ("", ())


USED = '''\
Here is a function:

```python
import re
import sys

LIMIT = 3


def helper(x):
    return x


def f(x):
    """Say it."""
    result = helper(x)  # the local one
    return re.sub("a", "", result)[:LIMIT]


result = f("abc")
print(result)
assert f("a") == ""

if __name__ == "__main__":
    sys.exit(f("a"))
```

It works.'''


def test_a_program_is_left_of_an_answer_without_examples_of_its_use() -> None:
    found = PYTHON.find_code(USED, "f")
    assert found.problem == ""
    assert "print" not in found.code and "assert" not in found.code and "sys" not in found.code
    assert found.code.startswith("import re\n\nLIMIT = 3\n\n\ndef helper")
    names: dict[str, object] = {}
    exec(found.code, names)
    assert names["f"]("banana") == "bnn"  # type: ignore[operator]


def test_a_program_without_examples_keeps_its_comments() -> None:
    code = "# Adds one.\ndef f(x):\n    return x + 1"
    assert PYTHON.find_code(code, "f").code == code


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("I can't.", "no"),
        ("def g(x):\n    return x", "defines no function f"),
        ("def f(x):\n    return '\x07'", "control characters"),
        ("def f(x):\n    pass", "defines no function f"),
        ("", "no"),
    ],
)
def test_an_answer_without_the_function_says_why(answer: str, problem: str) -> None:
    assert problem in PYTHON.find_code(answer, "f").problem


def test_tests_run_apart_from_the_program() -> None:
    program = PYTHON.program(
        "def f(x):\n    return x", ["assert f(1) == 1", "assert math.isclose(f(2), 2)"], "f"
    )
    assert program.calls == ("f",)
    assert program.tests.startswith("import math\n")
    assert program.name != "__main__"


def test_a_tag_that_is_opened_again_belongs_to_another_problem() -> None:
    answer = "assert f(1) == 2\n[/TESTS]\n\nProblem: another\n[TESTS]\nassert g(1) == 3\n[/TESTS]"
    assert between_tags(answer, "TESTS") == "assert f(1) == 2"


def test_attempts_that_bring_the_same_assertion_bring_one() -> None:
    assert agreed_tests(["assert f(1) == 2", "assert f(1) == 2"], "", PYTHON) == ("f", ("assert f(1) == 2",))


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("Write a function that writes a summary.", "sum", False),
        ("Write a function that finds an item. Find the first one.", "find", False),
        ("Find all add_ones.", "add_one", False),
        ("Write the function sum, which adds.", "sum", True),
        ("Write a function called sum.", "sum", True),
        ("Write `sum`.", "sum", True),
        ("Complete def sum(values):", "sum", True),
        ("Write add_one for numbers.", "add_one", True),
        ("Write isPrime for numbers.", "isPrime", True),
    ],
)
def test_a_word_that_looks_like_the_name_does_not_name_the_function(text: str, name: str, said: bool) -> None:
    assert says_name(text, name) is said
    assert (f"The function is called `{name}`." not in stated(Question("q", text, entry_point=name))) is said


def test_a_fence_in_a_program_does_not_close_its_block() -> None:
    code = 'def f(x):\n    """Add.\n\n    ```\n    f(1)\n    ```\n    """\n    return x + 1'
    block = fenced(code, "python")
    assert block == f"````python\n{code}\n````"
    assert PYTHON.find_code(block, "f").code == code
    assert fenced("f()", "python") == "```python\nf()\n```"
