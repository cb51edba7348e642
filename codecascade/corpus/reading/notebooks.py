"""Jupyter notebooks as a script and as prose (nbformat 3 and 4)."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.magics import without_magics

_COMMENTS = {"python": "#", "r": "#", "julia": "#", "ruby": "#", "shell": "#", "javascript": "//", "typescript": "//",
             "c++": "//", "java": "//", "scala": "//", "kotlin": "//", "rust": "//", "go": "//", "c#": "//",
             "f#": "//", "swift": "//", "groovy": "//", "php": "//", "dart": "//", "matlab": "%", "octave": "%",
             "prolog": "%", "erlang": "%", "fortran": "!", "clojure": ";", "scheme": ";",
             "sql": "--", "haskell": "--", "lua": "--", "ocaml": ""}  # fmt: skip
_NAMES = {
    "bash": "shell",
    "sh": "shell",
    "ir": "r",
    "csharp": "c#",
    "fsharp": "f#",
    "cpp": "c++",
    "ipython": "python",
}
_VERSION = re.compile(r"[ _-]?v?\d[\d.]*$")


class Notebook(NamedTuple):
    """What a notebook holds, without its outputs."""

    script: str
    """Its code cells, with the prose between them as comments (the "percent" layout: ``# %%``)."""
    prose: str
    """Its Markdown cells."""
    language: str


def read_notebook(text: str) -> Notebook:
    """The two documents that a notebook makes.

    Raises:
        UnreadableError: it is no notebook.
    """
    try:
        book = json.loads(text)
        cells = (
            book["cells"] if "cells" in book else [c for sheet in book["worksheets"] for c in sheet["cells"]]
        )
        language = _language(book.get("metadata") or {}, cells)
        comment = _COMMENTS.get(language, "#")
        script, prose = [], []
        for cell in cells:
            source = cell.get("source", cell.get("input", ""))
            source = ("".join(source) if isinstance(source, list) else str(source)).strip("\n")
            if not source.strip():
                continue
            if cell["cell_type"] == "code":
                code = without_magics(source) if language == "python" else source
                script.append(f"{comment} %%\n{code}")
            elif cell["cell_type"] in ("markdown", "heading"):
                prose.append(source)
                script.append(
                    "\n".join(
                        [f"{comment} %% [markdown]", *(f"{comment} {line}" for line in source.split("\n"))]
                    )
                )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UnreadableError("not a notebook") from None
    has_code = any(not part.startswith(f"{comment} %% [markdown]") for part in script)
    return Notebook(
        "\n\n".join(script) + "\n" if has_code else "", "\n\n".join(prose) + "\n" if prose else "", language
    )


def _language(metadata: Any, cells: list[Any]) -> str:
    """What the notebook says, else what its kernel's name does, else (nbformat 3) what its first code cell does."""
    kernel = metadata.get("kernelspec") or {}
    said = [(metadata.get("language_info") or {}).get("name"), kernel.get("language")]
    kernel_name = _bare(kernel.get("name"))
    if kernel_name in _COMMENTS:
        said.append(kernel_name)
    said += [cell.get("language") for cell in cells if cell.get("cell_type") == "code"][:1]
    return _bare(next((name for name in said if name), "python"))


def _bare(name: Any) -> str:
    """A language's name as ours are, without a version: ``python3``, ``julia-1.10``."""
    whole = str(name or "").lower()
    bare = _VERSION.sub("", whole) or whole
    return _NAMES.get(bare, bare)
