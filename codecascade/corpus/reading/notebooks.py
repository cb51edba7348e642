"""Reads Jupyter notebooks (nbformat 3 and 4) as a script and as prose."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.magics import without_magics

_COMMENTS = {"python": "#", "r": "#", "julia": "#", "ruby": "#", "shell": "#", "javascript": "//",
             "typescript": "//", "c": "//", "c++": "//", "java": "//", "scala": "//", "kotlin": "//",
             "rust": "//", "go": "//", "c#": "//", "f#": "//", "swift": "//", "groovy": "//", "php": "//",
             "dart": "//", "matlab": "%", "octave": "%", "prolog": "%", "erlang": "%", "tex": "%",
             "fortran": "!", "clojure": ";", "scheme": ";", "racket": ";", "common lisp": ";",
             "emacs lisp": ";", "sql": "--", "haskell": "--", "lua": "--", "ada": "--", "elm": "--",
             "ocaml": "(*", "mathematica": "(*", "coq": "(*", "standard ml": "(*", "stata": "*",
             "visual basic": "'"}  # fmt: skip
_ENDS = {"(*": " *)"}
"""The closing marks of comments that do not end at the line end."""
_NAMES = {
    "bash": "shell",
    "sh": "shell",
    "ir": "r",
    "csharp": "c#",
    "fsharp": "f#",
    "cpp": "c++",
    "ipython": "python",
    "common-lisp": "common lisp",
    "wolfram language": "mathematica",
    "wolfram": "mathematica",
    "vb": "visual basic",
}
_LONGEST_NUMBER = 1000
"""Most digits of a number that is converted."""
_VERSION = re.compile(r"[ _-]?v?\d[\d.]*$")


class Notebook(NamedTuple):
    """The content of a notebook without its outputs."""

    script: str
    """The code cells, with the Markdown between them as comments (the "percent" format: ``# %%``)."""
    prose: str
    """The Markdown cells."""
    language: str


def read_notebook(text: str) -> Notebook:
    """The script and the prose of a notebook.

    Raises:
        UnreadableError: it is not a notebook.
    """
    try:
        book = json.loads(text, parse_int=_integer)
        sheets = [book] if "cells" in book else book["worksheets"]
        given = [cell for sheet in sheets for cell in sheet.get("cells", ())]
        cells = [cell for cell in given if isinstance(cell, dict)]
        if given and not cells:
            raise ValueError("no cell is one")
        language = _language(book.get("metadata"), cells)
        mark = _COMMENTS.get(language, "#")
        script, prose = [], []
        has_code = False
        for cell in cells:
            source = _source(cell)
            if not source.strip():
                continue
            if cell.get("cell_type") == "code":
                code = without_magics(source) if language == "python" else source
                script.append(f"{_comment('%%', mark)}\n{code}")
                has_code = True
            elif cell.get("cell_type") in ("markdown", "heading"):
                prose.append(source)
                lines = ["%% [markdown]", *source.split("\n")]
                script.append("\n".join(_comment(line, mark) for line in lines))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UnreadableError("not a notebook") from None
    return Notebook(
        "\n\n".join(script) + "\n" if has_code else "", "\n\n".join(prose) + "\n" if prose else "", language
    )


def _source(cell: dict[str, Any]) -> str:
    """The source of a cell; "" if it is neither text nor a list of texts."""
    source = cell.get("source", cell.get("input"))
    lines = source if isinstance(source, list) else [source]
    return "".join(line for line in lines if isinstance(line, str)).strip("\n")


def _comment(line: str, mark: str) -> str:
    end = _ENDS.get(mark, "")
    return f"{mark} {line.replace(end.strip(), '* )') if end else line}{end}"


def _integer(digits: str) -> int:
    """An integer of a JSON text; 0 for one that is too long for Python, because no such number is needed here."""
    return int(digits) if len(digits) < _LONGEST_NUMBER else 0


def _language(metadata: Any, cells: list[dict[str, Any]]) -> str:
    """The language: by the notebook's metadata, else its kernel's name, else (nbformat 3) its first code cell."""
    kernel, info = (_named(_named(metadata).get(key)) for key in ("kernelspec", "language_info"))
    said = [info.get("name"), kernel.get("language")]
    kernel_name = _bare(kernel.get("name"))
    if kernel_name in _COMMENTS:
        said.append(kernel_name)
    said += [cell.get("language") for cell in cells if cell.get("cell_type") == "code"][:1]
    return _bare(next((name for name in said if isinstance(name, str) and name), "python"))


def _named(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _bare(name: Any) -> str:
    """A language name as this package writes it, without a version: ``python3``, ``julia-1.10``."""
    whole = str(name or "").lower()
    bare = _VERSION.sub("", whole) or whole
    return _NAMES.get(bare, bare)
