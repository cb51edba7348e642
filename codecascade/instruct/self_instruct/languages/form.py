"""What self-instruct has to know of a programming language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codecascade.sandbox.program import Program

LONGEST_ASSERTION = 2_000
"""Characters. A longer one is no example that a reader learns from, and a hostile answer may hold megabytes."""
MOST_ASSERTIONS = 50
"""Assertions that are read of one answer."""


@dataclass(frozen=True)
class Example:
    """The one example in the prompts: its problem, five tests of it, and a solution."""

    problem: str
    tests: tuple[str, ...]
    solution: str


@dataclass(frozen=True)
class FoundCode:
    """The program of an answer; ``problem`` says why it can't be used, and is empty if it can."""

    code: str
    problem: str = ""


@dataclass(frozen=True)
class LanguageForm:
    """One entry of the table.

    Attributes:
        name: as the sandbox calls it.
        title: for people, and for the prompts.
        fence: the word behind the three backquotes of a block of code.
        tag: the prompts ask for solutions between ``[TAG]`` and ``[/TAG]``.
        test_form: how the prompts say what a test looks like, with ``f`` for the function.
        assertions: a text's single assertions, without duplicates: each stands alone behind a solution, calls a
            function that is not the language's own, and reaches for nothing outside.
        called: the functions that an assertion calls and that are not the language's own, the outermost first.
        find_code: ``(answer, name) -> program that defines the function of this name``, without examples of its use.
        program: ``(code, assertions, entry point) -> Program``, which passes if all assertions hold.
        empty_stub: a function that does nothing, by its name.
        constant_stub: ``(name, value) -> a function that always returns this value``.
        argument_stub: a function that returns its first argument, by its name.
        expected: the values, as literals, with which the assertions compare the results of a function.
        odd_value: a literal that no sensible function returns.
        usual_values: literals that many functions return.
    """

    name: str
    title: str
    fence: str
    tag: str
    example: Example
    test_form: str
    assertions: Callable[[str], list[str]]
    called: Callable[[str], tuple[str, ...]]
    find_code: Callable[[str, str], FoundCode]
    program: Callable[[str, Sequence[str], str], Program]
    empty_stub: Callable[[str], str]
    constant_stub: Callable[[str, str], str]
    argument_stub: Callable[[str], str]
    expected: Callable[[Sequence[str], str], list[str]]
    odd_value: str
    usual_values: tuple[str, ...]
