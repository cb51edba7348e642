"""The verdict on a command, whatever it printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from work import grows_linearly

from codecascade.sandbox.languages.language import Language
from codecascade.sandbox.languages.run import compile_failure, verdict_of_command
from codecascade.sandbox.languages.table import LANGUAGES, language_named
from codecascade.sandbox.outcome import Outcome

ABORTED = Outcome("killed", "signal 6")
LANGUAGE = pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
# What the patterns of errors begin with, and what they look for.
UNITS = (
    *("\n", " ", "a", "\n ", "\n\t", "Assertion `", "Assertion `' failed.", "\n what", "a.rb:1:"),
    *("\na.rb:1:(a", "(a", "Error: ", "\nError", "\nError\n  ", "Error", "$", "lua: ", "program.lua:1:"),
    *("lua:program.lua:1", " in a", "in :1", "\nFatal error: ", " on line 1", "\nthread '", "panicked at "),
    *("\na_test", "_test.go:1:", "\n_test.go:1: ", "at ", "\n\n(Use", "Uncaught ", "Exception in thread "),
    *("memory allocation of 1", "1", "luaunit.lua:1", "Failure: "),
)


@LANGUAGE
def test_what_a_program_printed_is_read_in_linear_time(language: Language) -> None:
    for unit in UNITS:
        assert grows_linearly(
            lambda text: verdict_of_command(language, replace(ABORTED, stderr=text), "token", needed=True),
            _repeated(unit),
            size=10_000,
        ), unit


def test_errors_of_a_compiler_are_read_in_linear_time() -> None:
    for unit in UNITS:
        assert grows_linearly(compile_failure, _repeated(unit), size=10_000)


def _repeated(unit: str) -> Callable[[int], str]:
    return lambda size: unit * (size // len(unit))


@pytest.mark.parametrize(
    ("language", "error", "told"),
    [
        (
            "cpp",
            'a: a.cpp:1: int main(): Assertion `f("`") == 1\' failed.\n',
            'Assertion `f("`") == 1\' failed.',
        ),
        ("cpp", "terminate called after\n  what():  no\n", "what(): no"),
        ("go", "--- FAIL: TestF (0.00s)\n    program_test.go:9: not 1\nFAIL\n", "program_test.go:9: not 1"),
        ("ruby", "program.rb:1:in `f': no (ArgumentError)\n\tfrom program.rb:2:in `x'\n", "(ArgumentError)"),
        ("java", 'Exception in thread "main" java.lang.StackOverflowError\n', "java.lang.StackOverflowError"),
    ],
)
@pytest.mark.parametrize(
    ("before", "behind"), [("x" * 300_000 + "\n", ""), ("", "\tat a line of a trace\n" * 20_000)]
)
def test_an_error_is_found_behind_much_output_and_before_a_long_trace(
    language: str, error: str, told: str, before: str, behind: str
) -> None:
    ended = replace(ABORTED, stderr=before + error + behind)
    found = verdict_of_command(language_named(language), ended, "token", needed=True)
    assert found.outcome == "failed" and told in (found.exception or "")
