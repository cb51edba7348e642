"""Helping with a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """The end of a sentence about a name that is unknown: which of ``known`` was meant.

    Args:
        known: at least one name.
        otherwise: what is said where none looks like it; left out, the most similar is named all the same.

    >>> nearest("humanevl", ["gsm8k", "humaneval"]), nearest("PYTHON", ["c", "python"])
    ("did you mean 'humaneval'?", "did you mean 'python'?")
    >>> nearest("long", ["base"]), nearest("long", ["base"], "name a stage")
    ("did you mean 'base'?", 'name a stage')
    """
    names = {one.casefold(): one for one in known}
    cutoff = 0.0 if otherwise is None else 0.6
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=cutoff)
    return f"did you mean {names[near[0]]!r}?" if near else otherwise or ""
