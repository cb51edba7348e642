"""Jupyter notebooks as a script and as prose (nbformat 3 and 4)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from codecascade.corpus.encoding import UnreadableError

_COMMENTS = {"python": "#", "r": "#", "julia": "#", "ruby": "#", "shell": "#", "javascript": "//", "typescript": "//",
             "c++": "//", "java": "//", "scala": "//", "kotlin": "//", "rust": "//", "go": "//", "c#": "//",
             "f#": "//", "sql": "--", "haskell": "--", "lua": "--", "ocaml": ""}  # fmt: skip
_NAMES = {
    "bash": "shell",
    "sh": "shell",
    "ir": "r",
    "csharp": "c#",
    "fsharp": "f#",
    "cpp": "c++",
    "ipython": "python",
}


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
        metadata: Any = book.get("metadata") or {}
        named = (metadata.get("language_info") or {}).get("name") or (metadata.get("kernelspec") or {}).get(
            "language"
        )
        language = str(named or "python").lower()
        language = _NAMES.get(language, language)
        comment = _COMMENTS.get(language, "#")
        script, prose = [], []
        for cell in cells:
            source = cell.get("source", cell.get("input", ""))
            source = ("".join(source) if isinstance(source, list) else str(source)).strip("\n")
            if not source.strip():
                continue
            if cell["cell_type"] == "code":
                script.append(f"{comment} %%\n{_without_magics(source, language)}")
            elif cell["cell_type"] in ("markdown", "heading"):
                prose.append(source)
                script.append(
                    "\n".join(
                        [f"{comment} %% [markdown]", *(f"{comment} {line}" for line in source.split("\n"))]
                    )
                )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UnreadableError("not a notebook") from None
    code = any(not part.startswith(f"{comment} %% [markdown]") for part in script)
    return Notebook(
        "\n\n".join(script) + "\n" if code else "", "\n\n".join(prose) + "\n" if prose else "", language
    )


def _without_magics(source: str, language: str) -> str:
    """Cells with ``%`` and ``!`` lines turned into comments, so that a script parses."""
    if language != "python":
        return source
    return "\n".join(f"# {line}" if line.lstrip()[:1] in ("%", "!") else line for line in source.split("\n"))
