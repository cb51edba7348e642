"""Every failure of the parser is one outcome, and threads that parse at the same time do not disturb each other."""

from __future__ import annotations

import ast
import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from codecascade.corpus.reading.functions import python_functions
from codecascade.corpus.steps.natural_language import docstring_page
from codecascade.evaluation.answers.parsing import longest_program, parse_python
from codecascade.evaluation.answers.python_code import declares, defines, missing_names, sanitized
from codecascade.ground.python_source import NotPythonError, compiles, parse, parse_module, symbols, unparse
from codecascade.instruct.exercises import exercises_of
from codecascade.sandbox.host.split import can_share_process
from codecascade.sandbox.splitting import TOGETHER, split_tests

NOT_PYTHON = {
    "syntax": "x = (",
    "null byte": "x = '\0'",
    "lone surrogate": "x = '\ud800'",
    "too deep for the tree": "x = 1" + " + 1" * 100_000,
    "too deep for the parser": "x = " + "-" * 100_000 + "1",
    "too many digits": "x = " + "1" * 100_001,
    "mixed indentation": "if a:\n        x\n\ty\n",
}
DEEP = {
    "chain of elif": "if a:\n    pass\n" + "elif b:\n    pass\n" * 2_500,
    "attributes": "def f(x=a" + ".b" * 2_500 + "): raise NotImplementedError(a" + ".f" * 2_500 + ")\n",
    "sum": "if TYPE_CHECKING" + " + 1" * 2_500 + ":\n    limit = 1\n",
}


@pytest.mark.parametrize("text", NOT_PYTHON.values(), ids=NOT_PYTHON)
def test_what_is_not_python_is_one_outcome(text: str) -> None:
    with pytest.raises(NotPythonError) as caught:
        parse(text)
    assert str(caught.value)
    assert parse_module(text) is None and not compiles(text)
    assert parse_python(text) is None and python_functions(text) == [] and exercises_of(text + ">>> ") == []
    assert can_share_process(text) and split_tests(text, "x = 1") == split_tests("x = 1", text) == TOGETHER


def test_the_line_of_a_syntax_error() -> None:
    with pytest.raises(NotPythonError) as caught:
        parse("x = 1\ny = =\n")
    assert caught.value.line == 2
    assert longest_program(["x = 1\n", "\0\n"]) is not None


def test_a_program_that_parses_and_does_not_compile() -> None:
    assert parse_module("return 1") is not None and not compiles("return 1")


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_trees_that_are_deeper_than_python_functions_can_call_each_other(text: str) -> None:
    """The parser reads 3,000 levels; what then goes through the tree must not fail at 1,000."""
    text += (
        '\ndef g(x):\n    """Return what is given, as it is.\n\n    >>> g(1)\n    1\n    """\n    return x\n'
    )
    tree = parse_module(text)
    assert tree is not None
    assert [function.name for function in python_functions(text)][-1] == "g" and "g(x)" in docstring_page(
        text, "m.py"
    )
    assert declares(tree, ["g"]) and defines(tree, ["g"]) and isinstance(missing_names(tree), set)
    defines(tree, ["f"])
    assert "def g" in sanitized(text, "g")
    assert [exercise.name for exercise in exercises_of(text)] == ["g"]
    split_tests(text + "assert h(1)", "def h(x): pass\n" + text)
    split_tests("assert g(f(1))", text, "g")


def test_what_is_nested_too_deeply_to_be_written() -> None:
    tree = parse(DEEP["attributes"])
    assert unparse(tree) is None and symbols(tree) is None
    assert unparse(parse("x=1")) == "x = 1"


def test_a_docstring_with_a_deep_example_gives_no_exercise() -> None:
    deep = "f" + ".f" * 2_500
    docstring = f'"""Return what is given, as it is.\n\n    >>> {deep}\n    1\n    """'
    text = f"import f\ndef f(x):\n    {docstring}\n    return x\n"
    assert exercises_of(text) == []
    annotated = text.replace(deep, "f(1)").replace("(x):", f"(x: {deep}):")
    assert exercises_of(annotated) == []
    assert len(exercises_of(text.replace(deep, "f(1)"))) == 1


def test_threads_parse_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython up to 3.12 raises a SystemError for good Python if two threads make trees at the same time."""
    inside, most = 0, 0
    read = ast.parse

    def watched(text: str) -> ast.Module:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.002)
        try:
            return read(text)
        finally:
            inside -= 1

    monkeypatch.setattr(ast, "parse", watched)
    with ThreadPoolExecutor(4) as threads:
        assert None not in list(threads.map(parse_module, ["x = 1"] * 20))
    assert most == 1


def test_a_system_error_is_no_verdict_on_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that parses in another thread can still disturb; the text is parsed again."""
    read, failures = ast.parse, 3

    def disturbed(text: str) -> ast.Module:
        nonlocal failures
        if failures:
            failures -= 1
            raise SystemError("AST constructor recursion depth mismatch (before=15, after=11)")
        return read(text)

    monkeypatch.setattr(ast, "parse", disturbed)
    assert parse_module("x = 1") is not None
    failures = 1_000_000
    assert parse_module("x = 1") is None


def test_parsing_warns_of_nothing_and_keeps_the_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings(action="error"):
        before = list(warnings.filters)
        with ThreadPoolExecutor(4) as threads:
            assert None not in list(threads.map(parse_module, ["x = '\\d' is 1"] * 50))
        assert warnings.filters == before


def test_a_process_forked_while_another_thread_parses_can_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()
    read = ast.parse

    def waiting(text: str) -> ast.Module:
        if text == "wait":
            entered.set()
            leave.wait(120)
        return read(text)

    monkeypatch.setattr(ast, "parse", waiting)
    thread = threading.Thread(target=parse_module, args=["wait"])
    thread.start()
    try:
        assert entered.wait(120)
        with warnings.catch_warnings(action="ignore"):
            child = os.fork()
        if child == 0:
            # A child that waits for the lock would wait without end.
            threading.Timer(60, os._exit, [1]).start()
            os._exit(parse_module("x = 1") is None)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        leave.set()
        thread.join()
