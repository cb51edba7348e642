"""Near-deduplication as its documentation says it, with Python's sets and every pair compared."""

from __future__ import annotations

import re
from collections.abc import Sequence

WORD = re.compile(
    rb"(?:[A-Za-z0-9_]|[\xc2-\xdf][\x80-\xbf])+|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
Shingles = frozenset[tuple[bytes, ...]]


def shingles(text: str) -> Shingles:
    words = [
        word[place : place + 64] for word in WORD.findall(text.encode()) for place in range(0, len(word), 64)
    ]
    if 0 < len(words) < 5:
        return frozenset([tuple(words)])
    return frozenset(zip(*(words[place:] for place in range(5)), strict=False))


def jaccard(one: Shingles, other: Shingles) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0


def near_duplicates(
    texts: Sequence[str], ranks: Sequence[int], threshold: float = 0.7
) -> dict[int, tuple[int, float]]:
    """``{removed: (kept, similarity)}``; of the texts that stay, the nearest, and of equally near ones the best."""
    sets = [shingles(text) for text in texts]
    stay: list[int] = []
    gone: dict[int, tuple[int, float]] = {}
    seen: dict[Shingles, int] = {}
    for number in sorted(range(len(texts)), key=lambda number: (ranks[number], number)):
        first = seen.setdefault(sets[number], number)
        if first != number and sets[number]:  # goes where the first of these shingles went
            gone[number] = gone.get(first, (first, 1.0))
            continue
        near = [(jaccard(sets[number], sets[other]), -place) for place, other in enumerate(stay)]
        similarity, place = max(near, default=(0.0, 0))
        if similarity >= threshold:
            gone[number] = stay[-place], similarity
        else:
            stay.append(number)
    return gone
