"""Suggests the intended name for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# From 0 (nothing in common) to 1 (the same), as difflib counts it.
_SIMILAR = 0.6
_SHOWN = 12


def nearest(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """The end of an error message about an unknown name: the similar name that was probably meant.

    Args:
        known: at least one name.
        otherwise: the text if no known name is similar; None: the known names, or the first of many.

    >>> nearest("humanevl", ["gsm8k", "humaneval"]), nearest("PYTHON", ["c", "python"])
    ("did you mean 'humaneval'?", "did you mean 'python'?")
    >>> nearest("zz", ["base", "code"]), nearest("zz", ["base"], "name a stage")
    ('there are base, code', 'name a stage')
    """
    names = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=_SIMILAR)
    if near:
        return f"did you mean {names[near[0]]!r}?"
    if otherwise is not None:
        return otherwise
    shown = list(names.values())[:_SHOWN]
    return f"there {'is' if len(names) == 1 else 'are'} {', '.join(shown)}{', ...' if len(names) > _SHOWN else ''}"
