"""Exercises: answers that stand alone, and examples that test the answer and nothing else."""

from __future__ import annotations

import random

import pytest

from codecascade.instruct.docstrings import docstring_prose, own_examples, summary_of
from codecascade.instruct.exercises import Exercise, exercises_of
from codecascade.instruct.phrasing import request_for

MODULE = '''"""A module."""
from __future__ import annotations

import os, math
import numpy as np
from itertools import chain, islice, repeat
from .inner import secret

LIMIT = 3
UNUSED = 4

def helper(values):
    return list(islice(values, LIMIT))

def first(values: list[int], times=1) -> list[int]:
    """The first few values, ``times`` times.

    They are taken by :func:`helper`.

    Args:
        values: some.

    >>> first([1, 2, 3, 4])
    [1, 2, 3]
    >>> both = list(chain([1], first([2])))
    >>> both
    [1, 2]
    >>> context(both)
    2
    """
    return helper(values) * times

def context(values):
    return len(list(chain(values, repeat(0, 0))))

@secret.register
def registered(x):
    """Doubles a number that it is given.

    >>> import numpy as np
    >>> from package import registered
    >>> registered(2)
    4
    """
    return 2 * x

def relative(x):
    """Uses what cannot be had without the package.

    >>> relative(1)
    1
    """
    return secret(x)

def undescribed(x):
    """
    >>> undescribed(1)
    1
    """
    return x

def untested(x):
    """Nothing shows what this function does."""
    return x

def scientific(x):
    """The mean of a few numbers, by a package.

    >>> float(np.scientific([1, 3]))
    2.0
    """
    return np.mean(x)
'''


@pytest.fixture(scope="module")
def exercises() -> dict[str, Exercise]:
    return {exercise.name: exercise for exercise in exercises_of(MODULE)}


def passes(exercise: Exercise, answer: str | None = None) -> bool:
    """Runs our own examples above; what comes from a corpus runs in the sandbox only."""
    program = exercise.program
    if answer is not None:
        assert program.count(exercise.answer.removeprefix("from __future__ import annotations")) == 1
        program = program.replace(exercise.answer.removeprefix("from __future__ import annotations"), answer)
    try:
        exec(compile(program, "program", "exec", dont_inherit=True), {"__name__": "program"})
    except Exception:
        return False
    return True


def test_which_functions_are_exercises(exercises: dict[str, Exercise]) -> None:
    assert set(exercises) == {"first", "registered", "scientific"}
    assert exercises["first"].packages == [] and exercises["scientific"].packages == ["numpy"]


def test_an_answer_holds_what_it_needs_and_no_more(exercises: dict[str, Exercise]) -> None:
    first = exercises["first"]
    assert (
        first.answer
        == '''from __future__ import annotations

from itertools import islice

LIMIT = 3


def helper(values):
    return list(islice(values, LIMIT))


def first(values: list[int], times=1) -> list[int]:
    """The first few values, `times` times."""
    return helper(values) * times
'''
    )
    assert first.signature == "def first(values: list[int], times=1) -> list[int]"
    assert first.description == "The first few values, `times` times.\n\nThey are taken by `helper`."
    assert "def context" in first.context and "def helper" not in first.context
    assert exercises["registered"].answer.startswith("def registered")


def test_programs_test_the_answer(exercises: dict[str, Exercise]) -> None:
    for name, wrong in {
        "first": "def first(values, times=1): return values",
        "registered": "def registered(x): return x",
        "scientific": "def scientific(x): return 0.0",
    }.items():
        assert passes(exercises[name]), name
        assert not passes(exercises[name], wrong), name
        assert not passes(exercises[name], "raise SystemError")


def test_an_answer_may_have_names_of_builtins() -> None:
    docstring = '"""Doubles a number that it is given.\n\n    >>> {name}(2)\n    4\n    """'
    for name in ("globals", "dict", "tuple"):
        text = f"def {name}(x):\n    {docstring.format(name=name)}\n    return 2 * x\n"
        (exercise,) = exercises_of(text)
        assert passes(exercise) and not passes(exercise, exercise.answer.replace("2 *", "3 *"))


def test_examples_of_a_package_become_those_of_the_function() -> None:
    docstring = """
    >>> import numpy as np, a.b
    >>> from package import other, f
    >>> from package import f
    >>> np.f(np.array(a.b.f(1)), G.f)
    2
    """
    sources = [example.source for example in own_examples(docstring, "f", set())]
    assert sources == [
        "import numpy as np, a.b\n",
        "from package import other\n",
        "f(np.array(f(1)), G.f)\n",
    ]


@pytest.mark.parametrize(
    "docstring",
    [
        ">>> other(1)\n1",
        ">>> f(1)",
        ">>> f(1)\n...",
        ">>> f(1) # doctest: +SKIP\n1",
        ">>> from package import *\n>>> f(1)\n1",
        ">>> f = package.g\n>>> f(1)\n1",
        ">>> def f(x): return 1\n>>> f(1)\n1",
        ">>> f(1\n1",
        ">>> import package.f as f\n>>> f(1)\n1",
    ],
)
def test_examples_that_say_nothing_about_the_function(docstring: str) -> None:
    assert own_examples(docstring, "f", set()) == []


def test_prose_of_a_docstring_ends_at_its_sections() -> None:
    docstring = "Does it.\n\nSays more::\n\n    code\n\nParameters\n----------\nx : int\n\nThis is not prose."
    assert docstring_prose(docstring) == "Does it.\n\nSays more::\n\n    code"
    assert docstring_prose("Does it.\n\nFor example:\n\n>>> f()\n1") == "Does it."
    assert docstring_prose(":param x: only fields") == ""
    assert docstring_prose("One.\n\n" + "Two. " * 400) == "One."
    assert summary_of("Joins\nthem. Slowly.\n\nMore.") == "Joins them. Slowly."
    assert summary_of("Long. " + "word " * 60) == "Long."
    assert summary_of('Says "no"') == summary_of("A \\ b.") == ""


def test_requests_say_what_to_write(exercises: dict[str, Exercise]) -> None:
    requests = {request_for(exercises["first"], random.Random(seed)) for seed in range(200)}
    assert len(requests) == 8, "four phrasings, with and without examples"
    for request in requests:
        assert "def first(values: list[int], times=1) -> list[int]" in request
        assert "They are taken by" in request and "islice" not in request
    assert any("`first([1, 2, 3, 4])` gives `[1, 2, 3]`" in request for request in requests)
    assert not any("context(both)" in request or "both" in request for request in requests)
    request = request_for(exercises["scientific"], random.Random(1))
    assert request.endswith("Use numpy.")
    assert request_for(exercises["first"], random.Random(5)) == request_for(
        exercises["first"], random.Random(5)
    )
