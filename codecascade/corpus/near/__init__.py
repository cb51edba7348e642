"""Near-duplicates: texts whose sets of 5-word shingles are nearly the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

REMOVED = pa.schema([("removed", pa.int64()), ("kept", pa.int64()), ("similarity", pa.float64())])


def remove_near_duplicates(
    texts: Iterable[pa.Array],
    ranks: pa.Array | pa.ChunkedArray | None = None,
    *,
    threshold: float = 0.7,
    mode: Literal["minhash", "exact"] = "minhash",
    workers: int = 1,
    folder: Path | None = None,
) -> pa.Table:
    """Which texts go because a better copy stays.

    In the order of their ranks, a text goes when its shingles have a Jaccard similarity of at least
    ``threshold`` with those of a text that stays, else it stays.

    Args:
        texts: chunks of strings (``table["text"].chunks``, or a generator that reads them one by one: each is
            let go before the next but a few); together n texts, numbered from 0.
        ranks: (n,) of any type that Arrow can sort (integers, strings, binary): the smallest of a group of
            near-duplicates stays. Equal ranks, and none at all: the earlier text.
        threshold: in (0, 1].
        mode: ``minhash`` compares texts that share a band of their MinHash signatures; ``exact`` misses nothing
            and is for small sets and for tests.
        workers: threads.
        folder: for a temporary file of shingles (0.7 bytes a byte of text); none: they stay in memory.

    Returns:
        ``removed`` (int64, ascending), ``kept`` (int64, a text that stays, the nearest), ``similarity`` (float64).
    """
    sets = [shingles(text or "") for chunk in texts for text in chunk.to_pylist()]
    ranks = pa.array(np.zeros(len(sets))) if ranks is None else ranks
    stay: list[int] = []
    removed = []
    for number in pc.sort_indices(ranks).to_pylist():
        near = [(jaccard(sets[number], sets[other]), -place) for place, other in enumerate(stay)]
        similarity, place = max(near, default=(0.0, 0))
        if similarity >= threshold:
            removed.append({"removed": number, "kept": stay[-place], "similarity": similarity})
        else:
            stay.append(number)
    return pa.Table.from_pylist(removed, REMOVED).sort_by("removed")


def shingles(text: str) -> frozenset[Any]:
    words = re.findall(r"[A-Za-z0-9_\x80-\u07ff]+|[\u0800-\U0010ffff]", text)
    return frozenset(zip(*(words[place:] for place in range(min(5, len(words)))), strict=False))


def jaccard(one: frozenset[Any], other: frozenset[Any]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0
