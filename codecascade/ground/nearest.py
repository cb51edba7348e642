"""Helping with a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?``, with the one of ``known`` that looks most like ``name``."""
    return f"did you mean {difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]!r}?"
