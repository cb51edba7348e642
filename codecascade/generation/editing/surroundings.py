"""The lines around a cursor."""

from __future__ import annotations

from dataclasses import dataclass

from codecascade.generation.editing.blocks import defines
from codecascade.generation.editing.repeats import without_space

_LOOKED_AT = 4096
"""Letters before the cursor's line in which the line above is looked for."""


@dataclass(frozen=True)
class Surroundings:
    """What the lines next to the cursor's say.

    Attributes:
        cursor_line: the cursor's line, up to the cursor.
        header: without white space, the last line before it that is not blank, if that begins a definition; else "".
        is_in_paragraph: neither the line before it nor the one after it is blank.
    """

    cursor_line: str
    header: str
    is_in_paragraph: bool

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
        )
