"""The indentation of lines."""

from __future__ import annotations

TAB = 4
"""Columns of a tab. It matters only where a model mixes tabs and spaces."""


def indent_of(text: str, start: int = 0) -> int:
    """Columns before the first letter of the line that begins at ``start``."""
    columns = 0
    for index in range(start, len(text)):
        if text[index] == "\t":
            columns += TAB - columns % TAB
        elif text[index] == " ":
            columns += 1
        else:
            break
    return columns
