"""The names in a line of code, by which CrossCodeEval (Ding et al. 2023) compares an answer with the true line."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

# Strings and comments are passed over as one piece, so that their words are no names.
_PIECES = re.compile(
    r"\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|`(?:\\.|[^`\\])*`?|\d\w*|(?P<name>[^\W\d]\w*)", re.DOTALL
)
_SCRIPT = frozenset(
    re.findall(
        r"\w+",
        """async await break case catch class const continue debugger default delete do else enum export extends false
        finally for from function if implements import in instanceof interface let new null of package private
        protected public return static super switch this throw true try type typeof undefined var void while with
        yield""",
    )
)
_JAVA = frozenset(
    re.findall(
        r"\w+",
        """abstract assert boolean break byte case catch char class const continue default do double else enum extends
        false final finally float for goto if implements import instanceof int interface long native new null package
        private protected public return short static strictfp super switch synchronized this throw throws transient
        true try void volatile while""",
    )
)
_CSHARP = frozenset(
    re.findall(
        r"\w+",
        """abstract as base bool break byte case catch char checked class const continue decimal default delegate do
        double else enum event explicit extern false finally fixed float for foreach goto if implicit in int interface
        internal is lock long namespace new null object operator out override params private protected public readonly
        ref return sbyte sealed short sizeof stackalloc static string struct switch this throw true try typeof uint
        ulong unchecked unsafe ushort using virtual void volatile while""",
    )
)
_KEYWORDS: dict[str, frozenset[str]] = {
    "python": frozenset(keyword.kwlist),
    "java": _JAVA,
    "csharp": _CSHARP,
    "c#": _CSHARP,
    "javascript": _SCRIPT,
    "typescript": _SCRIPT,
}


def identifiers(line: str, language: str) -> list[str]:
    """The names in a line, in their order. Keywords, numbers and what is within strings are left out."""
    keywords = _KEYWORDS.get(language, frozenset())
    return [
        name
        for found in _PIECES.finditer(line)
        if (name := found["name"]) is not None and name not in keywords
    ]


def identifier_f1(found: Sequence[str], expected: Sequence[str]) -> float:
    """The harmonic mean of precision and recall of the different names. 1 if neither has any."""
    given, wanted = set(found), set(expected)
    return 2 * len(given & wanted) / (len(given) + len(wanted)) if given or wanted else 1.0
