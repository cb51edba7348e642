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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = [1]\nassert f(x) == 1\nassert f(x) == 2", ["assert f([1]) == 1"]),
        ("x = [1]\nself.assertEqual(f(x), 1)\nself.assertEqual(f(x), 2)", ["assert f([1]) == 1"]),
        ("x = [1]\nassert f(x.pop()) == 1\nassert f(x) == 2", ["assert f([1].pop()) == 1"]),
        ("x = [1]\nresult = f(x)\nassert f(x) == 2\nassert result == 3", ["assert f([1]) == 3"]),
        ("x = [[1]]\nassert f(list(x)) == 1\nassert f(x) == 2", ["assert f(list([[1]])) == 1"]),
        ("i = iter([1])\nassert f(next(i)) == 1\nassert f(i) == 2", ["assert f(next(iter([1]))) == 1"]),
        ("i = iter([1])\nassert f(sum(i)) == 1\nassert f(i) == 2", ["assert f(sum(iter([1]))) == 1"]),
        (
            "i = iter([1])\nassert [f(x) for x in i] == 1\nassert f(i) == 2",
            ["assert [f(x) for x in iter([1])] == 1"],
        ),
    ],
)
def test_what_an_assertion_hands_to_a_call_may_have_changed(text: str, expected: list[str]) -> None:
    assert PYTHON.assertions(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x = [1]\nprint(push(x, 2))\nassert f(x) == 3",
        "x = [1]\ny = push(x, 2)\nassert f(x) == 3",
        "x = [[1]]\nrow = x[0]\npush(row, 2)\nassert f(x) == 3",
        "x = [1]\npair = (x, 1)\npush(pair, 2)\nassert f(x) == 3",
        "x = [1]\ndef add():\n    return push(x, 2)\nassert f(x) == 3",
        "x = [1]\ndef add():\n    push(x, 2)\nassert f(x) == 3",
    ],
)
def test_what_another_call_was_handed_may_have_changed(text: str) -> None:
    assert PYTHON.assertions(text) == []


@pytest.mark.parametrize(
    "use",
    ["x[0]", "x[:]", "x + [3]", "x.copy()", "x.count(1)", "list(zip(x, x))", "[y * 2 for y in x]", "sum(x)"],
)
def test_what_only_reads_a_flat_list_changes_nothing(use: str) -> None:
    text = f"x = [1, 2]\nassert f({use}) == 1\nassert f({use}) == 2"
    assert len(PYTHON.assertions(text)) == 2


def test_a_parameter_of_that_name_is_another_variable() -> None:
    text = "x = [1]\ndef add(x):\n    return push(x, 2)\nassert f(x) == 3"
    assert PYTHON.assertions(text) == ["assert f([1]) == 3"]


@pytest.mark.parametrize(
    "value", ["-1", "'a' + 'b'", "(1, -2)", "None", "float('inf')", "-math.inf", "range(5)"]
)
def test_a_value_that_nothing_changes_stays(value: str) -> None:
    text = f"x = {value}\nassert f(x) == 1\nassert g(x) == 2"
    assert len(PYTHON.assertions(text)) == 2


def test_python_s_own_functions_change_no_list() -> None:
    text = "x = [1, 2]\ny = f(3)\nassert f(len(x), list(x)) == 1\nassert f(sorted(x)) == 2\n"
    text += "assert len(y) == 1\nassert y == 2"
    assert PYTHON.assertions(text) == [
        "assert f(len([1, 2]), list([1, 2])) == 1",
        "assert f(sorted([1, 2])) == 2",
        "assert len(f(3)) == 1",
        "assert f(3) == 2",
    ]


def test_a_class_s_attributes_are_no_variables_of_its_methods() -> None:
    methods = "    def test_f(self):\n        assert f(x) == 1\n        assert f(y) == 1\n"
    assert PYTHON.assertions(f"x = 1\nclass T:\n    x = 2\n    y = 3\n{methods}") == ["assert f(1) == 1"]
    assert PYTHON.assertions(f"x = [1]\nclass T:\n    x.append(2)\n{methods}") == []
    assert PYTHON.assertions("class T:\n    x = 2\n    assert f(x) == 1") == ["assert f(2) == 1"]


@pytest.mark.parametrize(
    "block",
    [
        "with pytest.raises(ValueError):",
        "with self.assertRaises(ValueError) as caught:",
        "with suppress(ValueError), self.subTest():",
        "try:\n    pass\nexcept ValueError:",
        "try:",
    ],
)
def test_what_may_be_meant_to_fail_is_left_out(block: str) -> None:
    end = "\nfinally:\n    pass" if block == "try:" else ""
    assert PYTHON.assertions(f"{block}\n    assert f(1) == 1{end}\nassert f(2) == 2") == ["assert f(2) == 2"]


def test_a_block_of_unittest_that_only_names_its_case_is_read() -> None:
    assert PYTHON.assertions("with self.subTest(i=1):\n    assert f(1) == 1") == ["assert f(1) == 1"]


def test_line_separators_in_a_text_end_no_line() -> None:
    text = "Here:\nassert f('a\u2028b\x0cc') == 1\n"
    assert PYTHON.assertions(text) == ["assert f('a\\u2028b\\x0cc') == 1"]


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
