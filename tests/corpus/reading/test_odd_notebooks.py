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
