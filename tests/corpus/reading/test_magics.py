"""Notebooks' cells: what IPython alone understands becomes comments, and nothing else changes.

The verdicts are those of IPython's ``TransformerManager`` (9.18), to which the same cells were given.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import string
import textwrap
import tokenize
import typing
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from work import grows_linearly

from codecascade.corpus.reading import magics
from codecascade.corpus.reading.magics import without_magics
from codecascade.corpus.reading.notebooks import read_notebook

MAGIC = {
    "%matplotlib inline\nx = 1": "# %matplotlib inline\nx = 1",
    "!ls -l *.py": "# !ls -l *.py",
    "!!ls": "# !!ls",
    "!echo it's (open": "# !echo it's (open",
    "!pip install \\\n    requests \\\n    numpy\nx = 1": "# !pip install \\\n#     requests \\\n#     numpy\nx = 1",
    "files = !ls -1": "# files = !ls -1",
    "files=!ls '\nx = 1": "# files=!ls '\nx = 1",
    "a.b[0] = %sql select ( from \\\n  t\nx = 1": "# a.b[0] = %sql select ( from \\\n#   t\nx = 1",
    "first, rest = !ls": "# first, rest = !ls",
    "f(a=1)\nx = % time y": "f(a=1)\n# x = % time y",
    "math.sqrt?": "# math.sqrt?",
    "math.sqrt??": "# math.sqrt??",
    "items[0].name?": "# items[0].name?",
    "?math.sqrt": "# ?math.sqrt",
    "*int*?": "# *int*?",
    "%time?": "# %time?",
    "%%time?": "# %%time?",
    ",print a b": "# ,print a b",
    ";print a b": "# ;print a b",
    "/print a b": "# /print a b",
    "%time f()\n%time g()": "# %time f()\n# %time g()",
    "if x:\n    !ls\nelse:\n\t%cd ..": "if x:\n    pass  # !ls\nelse:\n\tpass  # %cd ..",
    "if x: y = !ls\nelse: y = []": "if x: pass  # y = !ls\nelse: y = []",
    "def f():\n    return\n    x = !ls": "def f():\n    return\n    pass  # x = !ls",
    "x = '''\n!ls\n'''\n!ls": "x = '''\n!ls\n'''\n# !ls",
    "x = 1  # \\\n!ls": "x = 1  # \\\n# !ls",
    "\n  \n  x = 1\n  !ls": "x = 1\n# !ls",
    " import os\nx = 1": "import os\nx = 1",
    "    def f():\n        return 1\nf()\n!ls": "def f():\n    return 1\nf()\n# !ls",
    "    x = 1\n  # odd\n    y = 2": "x = 1\n  # odd\ny = 2",
    "\tif x:\n\t\t!ls\ny = 1": "if x:\n\tpass  # !ls\ny = 1",
    "  %%bash\nfor f in *; do\n    echo $f\ndone": "# %%bash\n# for f in *; do\n#   echo $f\n# done",
    "%%time\n  x = 1\ny = 2": "# %%time\nx = 1\ny = 2",
    ">>> def f():\n...     return 1\n>>> !ls": "def f():\n    return 1\n# !ls",
    "In [3]: x = 1\n   ...: y = 2": "x = 1\ny = 2",
    "%%bash\nfor f in *; do\n\n  echo '$f\ndone": "# %%bash\n# for f in *; do\n#\n#   echo '$f\n# done",
    "%%html\n<p>it's</p>": "# %%html\n# <p>it's</p>",
    "%%writefile a.py\nx = (": "# %%writefile a.py\n# x = (",
    "%%unheard_of\nno python": "# %%unheard_of\n# no python",
    "%%time\nx = f()\n!ls": "# %%time\nx = f()\n# !ls",
    "%%capture out\n%%timeit -n 1\nx = f()": "# %%capture out\n# %%timeit -n 1\nx = f()",
    "%%time": "# %%time",
    "x = 1\n%%bash\ny = 2": "x = 1\n# %%bash\ny = 2",
    "!ls\r\nx = !ls \\\r\n -l\r\ny = 1\r": "# !ls\n# x = !ls \\\n#  -l\ny = 1\r",
}
PYTHON = [
    'message = (\n    "%s has %d rows"\n    % (name, total)\n)',
    'x = """\n%s: %d\n!important\nwhy?\n"""',
    "x = 'a \\\n%s' % b",
    "x = y \\\n% z",
    "total = [\n    a\n    % b,\n    c\n    / d\n]",
    "print('%matplotlib inline', \"!ls\")",
    "x = a != b",
    "x %= 3",
    "x = f(a=b % c)",
    "f(x\n    =y)",
    "# why?",
    "x = 1  # is it so?",
    "# x = !ls",
    "d = {\n  'a': 1\n  , 'b': 2\n}",
    "x = 1;",
    "x: int = a % b",
    'f"{a!r} {b:%Y}?"',
    "x = r'\\\\' % y if z else '''\n%d'''",
    "lambda x=1: x % 2",
    "",
]


@pytest.mark.parametrize("cell", MAGIC, ids=repr)
def test_what_ipython_sees_becomes_a_comment(cell: str) -> None:
    made = without_magics(cell)
    assert made.replace("\r", "") == MAGIC[cell].replace("\r", "")
    ast.parse(made)


@pytest.mark.parametrize("cell", PYTHON, ids=repr)
def test_python_is_left_as_it_was_written(cell: str) -> None:
    ast.parse(cell)
    assert without_magics(cell) == cell


@pytest.mark.parametrize("module", [argparse, inspect, string, textwrap, tokenize, typing, magics])
def test_whole_modules_are_left_as_they_were_written(module: ModuleType) -> None:
    source = inspect.getsource(module)
    assert without_magics(source) == source


@given(st.lists(st.sampled_from(sorted(MAGIC) + PYTHON), max_size=6))
def test_cells_of_many_statements_parse(parts: list[str]) -> None:
    """A cell magic, a common indentation and prompts count at the beginning of a cell only."""
    plain = [part for part in parts if not part.startswith(("%%", "\n", " ", "\t", ">>>", "In ["))]
    made = without_magics("\n".join(plain))
    ast.parse(made)
    assert without_magics(made) == made


@given(st.text(st.sampled_from("ab=%!?'\"\\\n ()[]#:;,/>")))
def test_no_text_is_too_odd(cell: str) -> None:
    made = without_magics(cell)
    assert made.count("b") == cell.count("b"), "nothing is lost"


@pytest.mark.parametrize(
    ("beginning", "unit"), [("", "("), ("x = '''", "a\n"), ("", "a = \\\n"), ("", "%%time\n"), ("", "'")]
)
def test_a_long_cell_takes_no_longer_than_its_length(beginning: str, unit: str) -> None:
    assert grows_linearly(without_magics, lambda size: beginning + unit * (size // len(unit) | 1))


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({"language_info": {"name": "R"}}, "r"),
        ({"kernelspec": {"language": "julia", "name": "julia-1.10"}}, "julia"),
        ({"kernelspec": {"name": "julia-1.10"}}, "julia"),
        ({"kernelspec": {"name": "ir"}}, "r"),
        ({"kernelspec": {"name": "python3"}}, "python"),
        ({"kernelspec": {"name": "my-environment"}}, "python"),
        ({"language_info": {"name": "python3"}}, "python"),
        ({}, "python"),
    ],
)
def test_only_python_has_magics(metadata: dict[str, object], language: str) -> None:
    source = "!x\n?lm\n%a"
    cells = [{"cell_type": "code", "source": source}]
    book = read_notebook(json.dumps({"cells": cells, "metadata": metadata}))
    assert book.language == language
    assert book.script == ("# %%\n# !x\n# ?lm\n# %a\n" if language == "python" else f"# %%\n{source}\n")
