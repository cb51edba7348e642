"""Lines that import something, and whether the file uses what they import."""

from __future__ import annotations

import re

_IMPORT = re.compile(
    r"(import|from|use|pub use|using|require|require_relative|extern crate|alias)\b"
    r"|(const|let|var|local)\b.*\brequire\b"
)
_LOOKED_AT = 1 << 16
"""Letters before and after the cursor in which names are looked for."""
_WORD = re.compile(r"\w+")
_FROM = re.compile(r"from \S+ import (?P<names>.+)|import (?P<first>.+?) from ")
_KEYWORDS = frozenset(
    re.findall(r"\w+", "from as type static mut self pub use using import alias require require_relative")
)
_LONGEST = 1000
"""Letters of a line that is read."""


class Imports:
    """What the file around a cursor uses, beside its imports.

    Names are compared without regard to case, for Ruby's ``require "json"`` gives ``JSON``.
    """

    def __init__(self, prefix: str, suffix: str) -> None:
        self._prefix, self._suffix = prefix[-_LOOKED_AT:], suffix[:_LOOKED_AT]
        self._used: set[str] | None = None

    def are_unused(self, line: str) -> bool:
        """Whether a line imports something that is nowhere else in the file. False where there is no file yet."""
        names = imported(line)
        if not names:
            return False
        if self._used is None:
            rest = _words(self._suffix)
            self._used = rest | _words(self._prefix) if rest else set()
        return bool(self._used) and self._used.isdisjoint(names)


def imported(line: str) -> set[str]:
    """The names that a line imports, in lower case; empty if it imports none, or if nobody can tell which."""
    # with single spaces, so that no expression tries each of many
    text = re.split(" (?:#|//|--)", " ".join(line[:_LONGEST].split()))[0].rstrip("; ")
    if not _IMPORT.match(text) or text.startswith("from __future__"):
        return set()
    found = _FROM.match(text)
    if found is not None:
        text = found["names"] or found["first"]
    elif "require" in text and "=" in text:
        # const { a, b: c } = require("d")
        text = text.partition("=")[0].split(None, 1)[-1]
    elif (text.startswith("import") and "'" in text) or ('"' in text and not text.startswith("require")):
        # by its effects alone, or a path whose package has another name
        return set()
    if "*" in text and " as " not in text:
        return set()
    names = set()
    for part in re.split(r"[,{}()]", text):
        words = [word for word in _WORD.findall(part) if word not in _KEYWORDS]
        # ``os.path`` is used as ``os``, ``java.util.List`` as ``List``
        names |= {word.lower() for word in (words[:1] + words[-1:])}
    return names


def _words(text: str) -> set[str]:
    lines = (line for line in text.split("\n") if not _IMPORT.match(line.strip()))
    return {word.lower() for line in lines for word in _WORD.findall(line)}
