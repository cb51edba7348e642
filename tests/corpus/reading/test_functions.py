"""Functions and their exact places."""

from __future__ import annotations

import ast
import textwrap

from hypothesis import given
from hypothesis import strategies as st

from codecascade.corpus.reading.functions import SourcePositions, python_functions

TEXT = '''\
import os

@decorated
@with_arguments(1,
                2)
def first(a, b=2):
    """Adds.

    Twice.
    """
    def inner():
        return a
    return inner() + b

class Ünïcode:
    name = "größe"; size = "ß"

    async def method(self): return "ä" + self.name  # comment

    class Nested:
        @(
            wrapped
        )
        def deep(self):
            return """
at the margin"""

try:
    def either(): pass
except ImportError:
    def either(): return 1
if os.name == "nt":
    def windows():
        return 2'''


def test_names_docstrings_and_text_of_every_function() -> None:
    functions = python_functions(TEXT)
    assert [function.qualified_name for function in functions] == [
        "first",
        "Ünïcode.method",
        "Ünïcode.Nested.deep",
        "either",
        "either",
        "windows",
    ]
    assert all(TEXT[function.start : function.end] == function.source for function in functions)
    first, method, deep, *_, windows = functions
    assert first.docstring == "Adds.\n\nTwice." and method.docstring is None
    assert first.source.startswith("@decorated\n@with") and first.source.endswith("return inner() + b")
    assert method.source == '    async def method(self): return "ä" + self.name'
    assert deep.name == "deep" and deep.source.lstrip().startswith("@(") and deep.source.endswith('margin"""')
    assert windows.source == "    def windows():\n        return 2"
    assert windows.standalone == "def windows():\n    return 2"


def test_standalone_of_a_method_is_a_function() -> None:
    method = python_functions("class A:\n    @property\n    def f(self):\n        return 1\n")[0]
    assert ast.parse(method.standalone).body[0].name == "f"  # type: ignore[attr-defined]


def test_what_is_not_python_has_no_functions() -> None:
    for text in ("def f(:\n", "def f():\0", "print 'a'", "((((" * 300, "\ud800"):
        assert python_functions(text) == []
    assert python_functions("") == []


LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
WORDS = st.text("aßé漢😀 \x0c\x1c\u2028", max_size=8)


@given(st.lists(st.tuples(WORDS, st.booleans()), min_size=1, max_size=5), LINE_ENDS)
def test_places_agree_with_the_parser(parts: list[tuple[str, bool]], line_end: str) -> None:
    """Whatever line ends, wide characters and odd blanks: the source of each function parses to the same tree."""
    definitions = [
        ("@d" if decorated else "x = 1")
        + f"\ndef f{number}(a=1, *b):\n  ''' {word} '''\n  s = {word!r}; return s\n"
        for number, (word, decorated) in enumerate(parts)
    ]
    text = "\n".join(definitions).replace("\n", line_end)
    functions = python_functions(text)
    assert [function.name for function in functions] == [f"f{number}" for number in range(len(parts))]
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    for function, node in zip(functions, nodes, strict=True):
        assert text[function.start : function.end] == function.source
        assert ast.dump(ast.parse(function.source).body[0]) == ast.dump(node)


@given(st.text("aß漢😀\n", max_size=20))
def test_character_of_byte_columns(text: str) -> None:
    places = SourcePositions(text)
    for number, line in enumerate(text.split("\n"), 1):
        for column in range(len(line) + 1):
            place = places.character(number, len(line[:column].encode()))
            assert text[:place].count("\n") == number - 1 and text[:place].endswith(line[:column])


def test_dedent_keeps_inner_structure() -> None:
    text = textwrap.dedent(TEXT)
    assert python_functions(text)[0].standalone == python_functions(text)[0].source
