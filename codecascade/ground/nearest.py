"""Suggests the intended name for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """The end of an error message about an unknown name: the similar name that was probably meant.

    Args:
        known: at least one name.
        otherwise: the text if no known name is similar; None: always suggest the most similar one.

    >>> nearest("humanevl", ["gsm8k", "humaneval"]), nearest("PYTHON", ["c", "python"])
    ("did you mean 'humaneval'?", "did you mean 'python'?")
    >>> nearest("long", ["base"]), nearest("long", ["base"], "name a stage")
    ("did you mean 'base'?", 'name a stage')
    """
    names = {one.casefold(): one for one in known}
    cutoff = 0.0 if otherwise is None else 0.6
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=cutoff)
    return f"did you mean {names[near[0]]!r}?" if near else otherwise or ""
