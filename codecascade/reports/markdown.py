"""Writes what files and models hold into Markdown as text: it can't become a heading, a link, a tag or a cell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from codecascade.ground.errors import printable
from codecascade.ground.format import said_of_blank

_TICKS = re.compile(r"`{3,}")
_INSIDE = re.compile(
    r"[`|*]"  # code, cells, emphasis
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis: not within exact_match
    r"|\](?=[(\[:])"  # links
    r"|\\(?=[!-/:-@\[-`{-~]|$)"  # escapes
    r"|&(?=#?\w+;)"  # entities
    r"|(?<!#)#(?=#*\s*$)"  # the end of a heading
)
_JOINERS = "\u200c\u200d\u00ad"
"""Of Persian and Indic words and of emoji, and the soft hyphen."""
_JOINER = re.compile(f"([{_JOINERS}])")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
# Headings, quotations, lists, rules and other fences.
_START = re.compile(r"(\s?)(?=#+(?:\s|$)|>|[-+](?:\s|$)|--|=+\s*$|~~~)|(\s?\d+)(?=[.)](?:\s|$))")


def escaped(value: Any) -> Any:
    """A value as text for a line of Markdown. A value that is Markdown itself is :class:`~markupsafe.Markup`.

    >>> print(escaped("# <b> `x` | a_b"), escaped("1. [here](there)"))
    \\# &lt;b> \\`x\\` \\| a_b 1\\. [here\\](there)
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    # four spaces would begin a block of code
    text = re.sub(r"^\s+", " ", _shown(value).replace("\n", " "))
    text = _TAG.sub("&lt;", _INSIDE.sub(lambda found: f"\\{found[0]}", text))
    if start := _START.match(text):
        text = f"{start[0]}\\{text[start.end() :]}"
    return Markup(text)


def _shown(text: str) -> str:
    """A text without what a reader does not see; line ends are line feeds. Joiners belong to words and signs."""
    lines = re.sub(r"\r\n?", "\n", text)
    return "".join(part if part in _JOINERS else printable(part) for part in _JOINER.split(lines))


def code(text: str) -> Markup:
    """A text as code within a line. One that would look empty is called what it is."""
    if blank := said_of_blank(text):
        return Markup(blank)
    line = _shown(text).strip("\n").replace("\n", " ")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    ticks = "`" * (longest + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return Markup(f"{ticks}{space}{line}{space}{ticks}")


def block(text: str) -> Markup:
    """Lines of a block of code, between fences of :func:`fence_for`."""
    return Markup(_shown(text))


def info(language: str) -> Markup:
    """The language behind a fence."""
    return Markup(re.sub(r"[^\w+#.-]", "", language))


def fence_for(texts: Iterable[str]) -> Markup:
    """A fence of a Markdown block that none of the texts holds."""
    longest = max((len(match[0]) for text in texts for match in _TICKS.finditer(text)), default=2)
    return Markup("`" * (longest + 1))
