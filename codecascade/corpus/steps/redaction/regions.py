"""Finds strings and comments, for languages in which ``a@b.c`` is an expression outside of them."""

from __future__ import annotations

import re
from bisect import bisect_right

_C_COMMENTS = r"//[^\n]*|/\*(?s:.*?)(?:\*/|\Z)"
_DOUBLE = r'"(?:[^"\\]|\\(?s:.))*(?:"|\Z)'
_ON_ONE_LINE = r'"(?:[^"\\\n]|\\.)*"?'
_TRIPLE = r'"""(?s:.*?)(?:"""|\Z)'
_PYTHON = (
    r"#[^\n]*|'''(?:[^'\\]|\\(?s:.)|'(?!''))*(?:'''|\Z)|\"\"\"(?:[^\"\\]|\\(?s:.)|\"(?!\"\"))*(?:\"\"\"|\Z)"
    rf"|'(?:[^'\\\n]|\\(?s:.))*'?|{_ON_ONE_LINE}"
)
# Not a lifetime, a type variable or a name that ends in a prime.
_CHARACTER = r"'(?:[^'\\\n]|\\[^\n]{1,9}?)'"
_HASKELL = rf"--[^\n]*|\{{-(?s:.*?)(?:-\}}|\Z)|{_DOUBLE}|{_CHARACTER}"
_ML = rf"\(\*(?s:.*?)(?:\*\)|\Z)|{_DOUBLE}|{_CHARACTER}"
_VERILOG = rf"{_C_COMMENTS}|{_ON_ONE_LINE}"
_KOTLIN = rf"{_C_COMMENTS}|{_TRIPLE}|{_ON_ONE_LINE}|{_CHARACTER}"
_SQL = r"--[^\n]*|/\*(?s:.*?)(?:\*/|\Z)|'(?:[^']|'')*(?:'|\Z)"
_MATLAB = rf"%[^\n]*|\.\.\.[^\n]*|(?<![\w)\]}}.'])'(?:[^'\n]|'')*'?|{_ON_ONE_LINE}"

_FIELDS = frozenset({"python", "cython"})
"""Languages whose strings of the prefix ``f`` have expressions in braces."""
_FORMATTED = re.compile(r"(?i)(?<![a-z0-9_])(?:f|rf|fr|t|rt|tr)$")

REGIONS = {
    language: re.compile(pattern)
    for language, pattern in {
        "agda": _HASKELL,
        "coq": _ML,
        "cython": _PYTHON,
        "elm": _HASKELL,
        "erlang": rf"%[^\n]*|{_DOUBLE}|'(?:[^'\\\n]|\\.)*'?",
        "f#": rf"//[^\n]*|{_TRIPLE}|{_ML}",
        "haskell": _HASKELL,
        "idris": _HASKELL,
        "julia": rf"#=(?s:.*?)(?:=#|\Z)|#[^\n]*|{_TRIPLE}|{_DOUBLE}|{_CHARACTER}",
        "kotlin": _KOTLIN,
        "lean": rf"--[^\n]*|/-(?s:.*?)(?:-/|\Z)|{_DOUBLE}|{_CHARACTER}",
        "matlab": _MATLAB,
        "nix": rf"#[^\n]*|/\*(?s:.*?)(?:\*/|\Z)|''(?s:.*?)(?:''|\Z)|{_DOUBLE}",
        "ocaml": rf"{_ML}|\{{\|(?s:.*?)(?:\|\}}|\Z)",
        "octave": rf"#[^\n]*|{_MATLAB}",
        "plsql": _SQL,
        "purescript": _HASKELL,
        "python": _PYTHON,
        "r": rf"#[^\n]*|{_DOUBLE}|'(?:[^'\\]|\\(?s:.))*(?:'|\Z)|`[^`\n]*`?",
        "reason": rf"{_C_COMMENTS}|{_DOUBLE}|{_CHARACTER}",
        "rust": rf'{_C_COMMENTS}|r(?P<hashes>#+)"(?s:.*?)(?:"(?P=hashes)|\Z)|{_DOUBLE}|{_CHARACTER}',
        "scala": _KOTLIN,
        "sql": _SQL,
        "standard ml": _ML,
        "systemverilog": _VERILOG,
        "verilog": _VERILOG,
    }.items()
}
"""For each language, the pattern of a string or a comment."""


class Regions:
    """The strings and comments of a text, located at the first request."""

    def __init__(self, text: str, language: str) -> None:
        self._text, self._pattern = text, REGIONS.get(language)
        self._fields = language in _FIELDS
        self._starts: list[int] | None = None
        self._ends: list[int] = []

    def expression_at(self, position: int) -> bool:
        """Whether a position is code in which ``a@b.c`` is an expression."""
        if self._pattern is None:
            return False
        if self._starts is None:
            spans = [match.span() for match in self._pattern.finditer(self._text)]
            self._starts, self._ends = [start for start, _ in spans], [end for _, end in spans]
        before = bisect_right(self._starts, position) - 1
        if before < 0 or position >= self._ends[before]:
            return True
        return self._fields and self._in_a_field(self._starts[before], position)

    def _in_a_field(self, start: int, position: int) -> bool:
        """Whether a position is in the braces of a formatted string that begins at ``start``."""
        if not _FORMATTED.search(self._text[max(start - 3, 0) : start]):
            return False
        inside = self._text[max(start, position - 200) : position].replace("{{", "").replace("}}", "")
        return inside.rfind("{") > inside.rfind("}")
