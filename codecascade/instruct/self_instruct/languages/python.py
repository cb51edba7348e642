"""Python: assertions and solutions are read by its own grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence

from codecascade.evaluation.answers.parsing import parse_python
from codecascade.evaluation.answers.python_code import defines
from codecascade.evaluation.answers.replies import program_in
from codecascade.instruct.self_instruct.languages.answers import control_characters
from codecascade.instruct.self_instruct.languages.form import Example, FoundCode, LanguageForm
from codecascade.instruct.self_instruct.languages.python_assertions import (
    MODULES,
    called_names,
    expected_values,
    read_assertions,
)
from codecascade.instruct.self_instruct.languages.python_trim import without_examples_of_use
from codecascade.sandbox.program import IMPORTED, Program
from codecascade.sandbox.splitting import split_tests

_MODULE = re.compile(rf"\b({'|'.join(MODULES)})\.")


def _find_code(answer: str, name: str) -> FoundCode:
    code = program_in(answer, (name,)).strip("\n")
    tree = parse_python(code)
    if tree is None:
        return FoundCode("", "the answer holds no Python program")
    if not defines(tree, (name,)):
        return FoundCode(code, f"defines no function {name}")
    if control_characters(code):
        return FoundCode("", "the program holds control characters")
    return FoundCode(without_examples_of_use(code, name))


def _program(code: str, assertions: Sequence[str], entry_point: str) -> Program:
    tests = "\n".join(assertions)
    imports = "".join(f"import {name}\n" for name in sorted({match[1] for match in _MODULE.finditer(tests)}))
    tests = imports + tests + "\n"
    split = split_tests(tests, f"def {entry_point}(*values, **options):\n    return None\n", entry_point)
    return Program(code + "\n", name=IMPORTED, tests=tests, calls=split.calls, given=split.given)


def _expected(assertions: Sequence[str], entry_point: str) -> list[str]:
    found = dict.fromkeys(value for each in assertions for value in expected_values(each, entry_point))
    return list(found)


def _stub(name: str, value: str) -> str:
    return f"def {name}(*values, **options):\n    return {value}"


PYTHON = LanguageForm(
    name="python",
    title="Python",
    fence="python",
    tag="PYTHON",
    example=Example(
        "Write a function that returns the words of a sentence that occur more than once, in the order in which they "
        "first occur. Upper and lower case make no difference, and the words are returned in lower case.",
        (
            'assert repeated_words("the cat saw the dog") == ["the"]',
            'assert repeated_words("one two three") == []',
            'assert repeated_words("") == []',
            'assert repeated_words("To be or not to be") == ["to", "be"]',
            'assert repeated_words("a a a") == ["a"]',
        ),
        "def repeated_words(sentence):\n"
        "    words = sentence.lower().split()\n"
        "    repeated = []\n"
        "    for word in words:\n"
        "        if words.count(word) > 1 and word not in repeated:\n"
        "            repeated.append(word)\n"
        "    return repeated",
    ),
    test_form="assert f(argument) == value",
    assertions=read_assertions,
    called=called_names,
    find_code=_find_code,
    program=_program,
    empty_stub=lambda name: _stub(name, "None"),
    constant_stub=_stub,
    argument_stub=lambda name: _stub(name, "(*values, *options.values(), None)[0]"),
    expected=_expected,
    odd_value="-987654321.5",
    usual_values=("True", "False", "0", "1", "''", "[]"),
)
