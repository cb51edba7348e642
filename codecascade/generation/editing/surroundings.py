"""The lines around a cursor."""

from __future__ import annotations

import re
from dataclasses import dataclass

from codecascade.generation.editing.blocks import defines
from codecascade.generation.editing.repeats import without_space

# No word of "long long" is typed again.
_WORDS = re.compile(r"\s*(?!long )[^\W\d]\w{3,}( \w+)* ")
_OPENS = re.compile(r"([:{(\[>=,\\]|\b(then|do|else|begin))\s*$")
_LOOKED_AT = 4096
"""Letters before the cursor's line in which the line above is looked for."""


@dataclass(frozen=True)
class Surroundings:
    """What the lines next to the cursor's say.

    Attributes:
        cursor_line: the cursor's line, up to the cursor.
        header: without white space, the last line before it that is not blank, if that begins a definition; else "".
        is_in_paragraph: neither the line before it nor the one after it is blank.
        typed: what of the cursor's line a completion may begin with by mistake: its words with their last space, if
            it is nothing but words; its white space, if that is where the next line of the block belongs; else "".
    """

    cursor_line: str
    header: str
    is_in_paragraph: bool
    typed: str

    @classmethod
    def of(cls, prefix: str, suffix: str) -> Surroundings:
        cursor_line = prefix[prefix.rfind("\n") + 1 :]
        above = prefix[: len(prefix) - len(cursor_line)][-_LOOKED_AT:].splitlines()
        last = next((line for line in reversed(above) if line.strip()), "")
        below = suffix.split("\n", 2)[1:2]
        neighbours = [*above[-1:], *below]
        return cls(
            cursor_line,
            without_space(last) if defines(last) else "",
            len(neighbours) == 2 and all(map(str.strip, neighbours)),
            cursor_line.lstrip() if _WORDS.fullmatch(cursor_line) else _place(cursor_line, last),
        )


def _place(cursor_line: str, above: str) -> str:
    """The white space before the cursor, if the line above is indented alike and opens nothing; else ""."""
    indent = above[: len(above) - len(above.lstrip())]
    return cursor_line if cursor_line == indent and not _OPENS.search(above) else ""
