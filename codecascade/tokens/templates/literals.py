"""Finds many strings in a text at once, in time that grows with the text alone.

A regular expression of all strings tries one after the other at each position, and a model may have tens of thousands
of control tokens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator


class Literals:
    """Strings that are looked for from left to right; of several at a position the longest counts.

    Args:
        texts: the strings; the time grows with how many lengths those with one first character have.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = frozenset(text for text in texts if text)
        lengths: dict[str, set[int]] = {}
        for text in self._texts:
            lengths.setdefault(text[0], set()).add(len(text))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the strings begin and end in a text, in order; they do not overlap."""
        end = 0
        for start, character in enumerate(text):
            lengths = self._lengths.get(character)
            if lengths is None or start < end:
                continue
            for length in lengths:
                # at the end of the text a shorter piece
                piece = text[start : start + length]
                if piece in self._texts:
                    end = start + len(piece)
                    yield start, end
                    break


class Affixes:
    """Strings of which one may begin or end with a given text."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._forward = sorted(texts)
        self._backward = sorted(text[::-1] for text in self._forward)

    def begins(self, text: str) -> bool:
        """Whether one of the strings begins with ``text``."""
        return _has_prefix(self._forward, text)

    def ends(self, text: str) -> bool:
        """Whether one of the strings ends with ``text``."""
        return _has_prefix(self._backward, text[::-1])


def _has_prefix(ordered: list[str], text: str) -> bool:
    place = bisect_left(ordered, text)
    return place < len(ordered) and ordered[place].startswith(text)
