"""The prompts of an editing session: one file, a cursor that types and moves, a completion asked for at each stop."""

from __future__ import annotations

import random
from collections.abc import Callable

Encode = Callable[[str], list[int]]

_TYPED = (1, 6)
"""Letters between two requests, at least and at most."""
_MOVE = 0.06
"""How often the cursor goes elsewhere first."""
_LINES = 220
"""Of the file."""


def session(text: str, encode: Encode, requests: int, *, layout: str, seed: int = 0) -> list[tuple[int, ...]]:
    """The prompts, in token ids.

    A file of which some lines are missing is typed again: lines from a cursor on, a few letters at a time, until the
    cursor moves to other lines. What is missing below the cursor is what follows in the file.

    Args:
        layout: ``spm``: the suffix first, so that a keystroke only adds to the end; ``psm``: the suffix last, as
            llama.cpp's server asks.
    """
    draw = random.Random(seed)
    lines = text.splitlines(keepends=True)[:_LINES]
    prompts: list[tuple[int, ...]] = []
    while len(prompts) < requests:
        first = draw.randrange(20, len(lines) - 20)
        prefix, gap, suffix = (
            "".join(part) for part in (lines[:first], lines[first : first + 12], lines[first + 12 :])
        )
        typed = 0
        before, after = encode(prefix), encode(suffix)
        while len(prompts) < requests and typed < len(gap):
            typed += draw.randint(*_TYPED)
            above = before + encode(gap[:typed])
            prompts.append(tuple(after + above if layout == "spm" else above + after))
            if draw.random() < _MOVE:
                break
    return prompts
