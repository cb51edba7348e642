"""What an editor wants of a completion at a cursor, and why one ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from codecascade.ground.errors import UserError

EditorLines = Literal["single", "block", "any"]
StopReason = Literal["suffix", "prefix", "indentation", "block", "blank", "brackets", "line", "fence", "time"]


@dataclass(frozen=True)
class EditorStops:
    """What an editor wants of a completion at a cursor.

    Attributes:
        prefix: the text before the cursor; its last line gives the indentation.
        suffix: the text after the cursor.
        language: such as ``python``; None if it is not known.
        lines: ``single`` ends at the first line break behind some text, ``block`` at the end of the block that the
            cursor is in, or with the line where the cursor is within one, ``any`` where the suffix begins, whatever
            comes before.
        min_indent: a line with fewer spaces and tabs before its text ends the completion (llama.cpp's ``n_indent``).
        time_limit: seconds from the first text; acts once a line break was generated (llama.cpp's
            ``t_max_predict_ms``).
    """

    prefix: str
    suffix: str
    language: str | None = None
    lines: EditorLines = "block"
    min_indent: int | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        if self.min_indent is not None and self.min_indent < 0:
            raise UserError(f"must be at least 0 (got {self.min_indent})", key="min_indent")
        if self.time_limit is not None and not self.time_limit >= 0:
            raise UserError(f"must be 0 or more (got {self.time_limit})", key="time_limit")
