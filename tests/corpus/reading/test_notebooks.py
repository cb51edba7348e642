"""Notebooks become scripts and prose."""

from __future__ import annotations

import json

import pytest

from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.notebooks import read_notebook


def test_a_notebook_is_a_script_and_prose() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "Some words."]},
        {"cell_type": "code", "source": "%matplotlib inline\nx = 1", "outputs": [{"data": "A" * 5000}]},
        {"cell_type": "code", "source": ["!ls\n", "y = x"]},
        {"cell_type": "raw", "source": "left out"},
        {"cell_type": "code", "source": "   "},
    ]
    book = read_notebook(
        json.dumps({"cells": cells, "metadata": {"kernelspec": {"language": "python"}}, "nbformat": 4})
    )
    assert book.language == "python" and book.prose == "# Title\nSome words.\n"
    assert book.script == (
        "# %% [markdown]\n# # Title\n# Some words.\n\n# %%\n# %matplotlib inline\nx = 1\n\n# %%\n# !ls\ny = x\n"
    )
    compile(book.script, "script", "exec")


def test_old_and_foreign_notebooks() -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["1 + 1"]}]}], "nbformat": 3}
    assert read_notebook(json.dumps(old)).script == "# %%\n1 + 1\n"
    r = {
        "cells": [{"cell_type": "markdown", "source": "only words"}],
        "metadata": {"language_info": {"name": "R"}},
    }
    assert read_notebook(json.dumps(r)) == ("", "only words\n", "r")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"cells": 5}', '{"cells": [null]}', "[" * 100_000])
def test_what_is_no_notebook(text: str) -> None:
    with pytest.raises(UnreadableError, match="not a notebook"):
        read_notebook(text)
