"""Reads Jupyter notebooks (nbformat 2 to 4) as a script and as prose."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.languages import language_by_alias
from codecascade.corpus.reading.magics import without_magics

_COMMENTS = {"python": "#", "r": "#", "julia": "#", "ruby": "#", "shell": "#", "javascript": "//",
             "typescript": "//", "c": "//", "c++": "//", "java": "//", "scala": "//", "kotlin": "//",
             "rust": "//", "go": "//", "c#": "//", "f#": "//", "swift": "//", "groovy": "//", "php": "//",
             "dart": "//", "matlab": "%", "octave": "%", "prolog": "%", "erlang": "%", "tex": "%",
             "fortran": "!", "clojure": ";", "scheme": ";", "racket": ";", "common lisp": ";",
             "emacs lisp": ";", "sql": "--", "haskell": "--", "lua": "--", "ada": "--", "elm": "--",
             "ocaml": "(*", "mathematica": "(*", "coq": "(*", "standard ml": "(*", "stata": "*",
             "visual basic": "'", "q#": "//", "zig": "//", "d": "//", "solidity": "//", "objective-c": "//",
             "powershell": "#", "perl": "#", "raku": "#", "crystal": "#", "elixir": "#", "nim": "#", "gap": "#",
             "sagemath": "#"}  # fmt: skip
_ENDS = {"(*": " *)"}
"""The closing marks of comments that do not end at the line end."""
_LONGEST_NUMBER = 1000
"""Most digits of a number that is converted."""
_LINE_END = re.compile(r"\r\n?|\n")


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
            source = _source(cell, older="cells" not in book)
            if not source.strip():
                continue
            if cell.get("cell_type") == "code":
                code = without_magics(source) if language == "python" else source
                script.append(f"{_comment('%%', mark)}\n{code}")
                has_code = True
            elif cell.get("cell_type") in ("markdown", "heading"):
                prose.append(source)
                lines = ["%% [markdown]", *_LINE_END.split(source)]
                script.append("\n".join(_comment(line, mark) for line in lines))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UnreadableError("not a notebook") from None
    return Notebook(
        "\n\n".join(script) + "\n" if has_code else "", "\n\n".join(prose) + "\n" if prose else "", language
    )


def _source(cell: dict[str, Any], *, older: bool) -> str:
    """The source of a cell; "" if it is neither text nor a list of texts.

    Args:
        older: the notebook is of nbformat 2 or 3, whose lines may be stored without their line ends, as in
            ``nbformat/v3/rwbase.py``.
    """
    source = cell.get("source", cell.get("input"))
    lines = [line for line in (source if isinstance(source, list) else [source]) if isinstance(line, str)]
    between = "\n" if older and lines and not lines[0].endswith("\n") else ""
    return between.join(lines).strip("\n")


def _comment(line: str, mark: str) -> str:
    end = _ENDS.get(mark, "")
    if end:
        line = line.replace(end.strip(), "* )")
        # OCaml and Coq read strings in comments, too.
        line = line.replace('"', "''") if line.count('"') % 2 else line
    return f"{mark} {line}{end}"


def _integer(digits: str) -> int:
    """An integer of a JSON text; 0 for one that is too long for Python, because no such number is needed here."""
    return int(digits) if len(digits) < _LONGEST_NUMBER else 0


def _language(metadata: Any, cells: list[dict[str, Any]]) -> str:
    """The language: the first known one of those that the notebook's metadata, its kernel's name and (nbformat 3) its
    first code cell say. If none is known, the first one that is said.
    """
    kernel, info = (_named(_named(metadata).get(key)) for key in ("kernelspec", "language_info"))
    said = [info.get("name"), kernel.get("language"), kernel.get("name")]
    said += [cell.get("language") for cell in cells if cell.get("cell_type") == "code"][:1]
    names = [language_by_alias(name) for name in said if isinstance(name, str) and name]
    given = [language_by_alias(name) for name in said[:2] + said[3:] if isinstance(name, str) and name]
    return next((name for name in names if name in _COMMENTS), given[0] if given else "python")


def _named(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
