"""Notebooks that lack what most have, hold what few hold, or are of other kernels."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.corpus.reading.magics import _HELP, without_magics
from codecascade.corpus.reading.notebooks import read_notebook

CODE = {"cell_type": "code", "source": ["x = 1\n", "print(x)"], "outputs": []}
SCRIPT = "# %%\nx = 1\nprint(x)\n"


def book(*cells: Any, **metadata: Any) -> str:
    return json.dumps({"cells": [*cells], "metadata": metadata, "nbformat": 4})


@pytest.mark.parametrize(
    "cell",
    [
        {"source": "no type"},
        {"cell_type": 1, "source": "x"},
        "no cell",
        None,
        [],
        {"cell_type": "code", "source": None},
        {"cell_type": "code"},
        {"cell_type": "code", "source": [None, {}, 5]},
        {"cell_type": "raw", "source": "x"},
    ],
)
def test_a_cell_that_is_none_costs_only_itself(cell: Any) -> None:
    assert read_notebook(book(cell, CODE, cell)) == (SCRIPT, "", "python")


@pytest.mark.parametrize(
    "metadata", [[], None, "x", {"language_info": ["x"], "kernelspec": 5}, {"language_info": {"name": ["r"]}}]
)
def test_metadata_that_say_nothing(metadata: Any) -> None:
    text = json.dumps({"cells": [CODE], "metadata": metadata})
    assert read_notebook(text) == (SCRIPT, "", "python")


def test_an_output_of_any_number_and_a_sheet_without_cells() -> None:
    text = book(CODE | {"outputs": ["HERE"]}).replace('"HERE"', "9" * 6000 + ", NaN, -Infinity")
    assert read_notebook(text).script == SCRIPT
    cell = {"cell_type": "code", "language": "python", "input": ["x = 1\n", "print(x)"]}
    old = {"worksheets": [{"metadata": {}}, {"cells": [cell]}], "nbformat": 3}
    assert read_notebook(json.dumps(old)).script == SCRIPT


@pytest.mark.parametrize(
    ("kernel", "begin", "end"),
    [
        ("ocaml", "(* ", " *)"),
        ("Wolfram Language", "(* ", " *)"),
        ("stata", "* ", ""),
        ("racket", "; ", ""),
        ("common-lisp", "; ", ""),
        ("C", "// ", ""),
        ("tcl", "# ", ""),
    ],
)
def test_prose_is_a_comment_in_the_language_of_the_kernel(kernel: str, begin: str, end: str) -> None:
    prose = {"cell_type": "markdown", "source": "(* a *) b\nc"}
    script = read_notebook(book(prose, CODE, language_info={"name": kernel})).script
    lines = script.partition("\n\n")[0].split("\n")
    assert len(lines) == 3 and all(line.startswith(begin) and line.endswith(end) for line in lines)
    if end:
        assert all(line.count("*)") == 1 for line in lines), "a comment ends where its line does"


_IPYTHONS = re.compile(r"%{0,2}(?!\d)[\w*]+(?:\.(?!\d)[\w*]+|\[-?[0-9]+\])*\?{1,2}$")


@given(st.text(alphabet="a3*.[]-?% _é", max_size=10))
def test_help_is_asked_for_where_ipython_says_so(text: str) -> None:
    for line in (text, f"{text}?"):
        assert bool(_HELP.search(line)) == bool(_IPYTHONS.search(line))


@pytest.mark.parametrize("piece", ["a.", "a[0]", "a", "*", "0", "[0]", "a.b", "%"])
def test_a_long_question_takes_no_longer_than_its_length(piece: str) -> None:
    begin = time.process_time()
    for end in ("?", "!?", ".?"):
        without_magics(piece * 20_000 + end)
    assert time.process_time() - begin < 2


@pytest.mark.parametrize("form", [2, 3])
def test_lines_of_older_notebooks_may_lack_their_ends(form: int) -> None:
    """As nbformat reads them: by the first line it is known how a list of lines was written."""
    cells = [
        {"cell_type": "code", "language": "python", "input": ["def f(x):", "    return x", "", "f(1)"]},
        {"cell_type": "code", "language": "python", "input": ["def g(x):\n", "    return x"]},
        {"cell_type": "markdown", "source": ["One", "two"]},
    ]
    old = {"worksheets": [{"cells": cells}], "nbformat": form}
    script, prose, _ = read_notebook(json.dumps(old))
    assert "def f(x):\n    return x\n\nf(1)" in script and "def g(x):\n    return x\n" in script
    assert prose == "One\ntwo\n"


def test_no_line_end_of_prose_turns_the_rest_of_it_into_code() -> None:
    script = read_notebook(book(CODE, {"cell_type": "markdown", "source": "one\rtwo\r\nthree\nfour"})).script
    assert script.endswith("# %% [markdown]\n# one\n# two\n# three\n# four\n")


@pytest.mark.parametrize(
    ("kernel", "info", "language"),
    [
        ({"language": "C#", "name": ".net-csharp"}, {"name": "polyglot-notebook"}, "c#"),
        ({"language": "python", "name": "pysparkkernel"}, {"name": "pyspark"}, "python"),
        ({"language": "qsharp", "name": "iqsharp"}, {"name": "qsharp"}, "q#"),
        ({"language": "", "name": "julia-1.10"}, {"name": "julia"}, "julia"),
        ({"language": "brainfuck", "name": "bf"}, {}, "brainfuck"),
    ],
)
def test_kernels_have_names_of_their_own(kernel: dict[str, str], info: dict[str, str], language: str) -> None:
    notebook = read_notebook(book(CODE, kernelspec=kernel, language_info=info))
    assert notebook.language == language
    assert notebook.script.startswith("// %%" if language in ("c#", "q#") else "# %%")


def test_a_comment_of_ocaml_has_whole_strings() -> None:
    """A string in a comment is read as one, so that an odd quote would hide the comment's end."""
    prose = {"cell_type": "markdown", "source": 'OCaml "quoted *) it\nand "whole"'}
    script = read_notebook(book(CODE, prose, language_info={"name": "OCaml"})).script
    assert "(* OCaml ''quoted * ) it *)\n(* and \"whole\" *)" in script
