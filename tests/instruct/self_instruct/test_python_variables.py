"""Variables in tests: an assertion keeps the values that they certainly have, and leaves where that isn't known."""

from __future__ import annotations

import pytest

from codecascade.instruct.self_instruct.languages.python import PYTHON


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\nx = 2\nassert f(x) == 3", ["assert f(2) == 3"]),
        ("x: int = 5\nassert f(x) == 6", ["assert f(5) == 6"]),
        ("data = [1, 2]\nresult = f(data)\nprint(data)\nassert result == 3", ["assert f([1, 2]) == 3"]),
        (
            "text = 'a b'\nwords = text.split()\nassert f(text) == 1",
            ["assert f('a b') == 1"],
        ),
        (
            "x = 5\nassert [f(x) for x in range(3)] == [0, 1, 2]",
            ["assert [f(x) for x in range(3)] == [0, 1, 2]"],
        ),
        ("x = [1]\nassert [f(x) for x in x] == [2]", ["assert [f(x) for x in [1]] == [2]"]),
        (
            "x = 5\nassert list(map(lambda x: f(x), [1])) == [2]",
            ["assert list(map(lambda x: f(x), [1])) == [2]"],
        ),
        ("x = [2]\ndef test_f():\n    y = 1\n    assert f(x) == 3\nassert f(x) == 3", ["assert f([2]) == 3"]),
        ("async def test_f():\n    assert f(1) == 2", ["assert f(1) == 2"]),
        ('if __name__ == "__main__":\n    assert f(1) == 2', ["assert f(1) == 2"]),
    ],
)
def test_values_that_are_known_are_put_in_place(text: str, expected: list[str]) -> None:
    assert PYTHON.assertions(text) == expected


@pytest.mark.parametrize(
    "change",
    [
        "x += [3]",
        "x.append(3)",
        "last = x.pop()",
        "x[0] = 3",
        "x[:1] = []",
        "del x",
        "x, y = [3], 4",
        "x = y = [3]",
        "reverse(x)",
        "random.shuffle(x)",
        "for x in [[3], [4]]:\n    pass",
        "for one in [3, 4]:\n    x.append(one)",
        "while len(x) < 5:\n    x.append(1)",
        "if len(x) > 1:\n    x = [3]",
        "try:\n    x.remove(7)\nexcept ValueError:\n    pass",
        "with values() as x:\n    pass",
        "def change():\n    global x\n    x = [3]\nchange()",
        "def change():\n    x.append(3)\nchange()",
        "alias = x\nalias.append(3)",
        "from values import x",
    ],
)
def test_a_variable_that_may_have_changed_is_forgotten(change: str) -> None:
    assert PYTHON.assertions(f"x = [1, 2]\n{change}\nassert f(x) == 3\nassert f(9) == 9") == [
        "assert f(9) == 9"
    ]


def test_a_parameter_is_no_variable_of_the_module() -> None:
    assert PYTHON.assertions("x = 1\ndef test_f(x):\n    assert f(x) == 2") == []


@pytest.mark.parametrize(
    "text",
    [
        "if f(1) == 2:\n    assert f(0) == 1\nelse:\n    assert f(0) == 7",
        "if False:\n    assert f(0) == 1",
        "def test_f():\n    return\n    assert f(0) == 1",
    ],
)
def test_what_is_asserted_under_a_condition_or_never_is_left_out(text: str) -> None:
    assert PYTHON.assertions(text) == []
