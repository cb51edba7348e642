"""Random numbers that depend only on a key, so that a resumed run draws the same ones."""

from __future__ import annotations

import random
from hashlib import blake2b


def draw(*key: object, size: int = 8, separator: str = ",") -> int:
    """A number in [0, 256^size) that depends only on ``key``, on every machine.

    The parts of the key are written as text and joined by ``separator``. If parts are free text, give a separator
    that none of them contains. Corpora, training streams and results depend on these values, so they never change.

    Args:
        size: bytes of the number, from 1 to 64.

    >>> draw(0, "HumanEval/0", size=6), draw("a", "b", separator="\\0")
    (208293477421032, 18429100309458631331)
    """
    text = separator.join(map(str, key))
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest())


def uniform(*key: object) -> float:
    """A number in [0, 1) with 53 random bits that depends only on ``key``."""
    return (draw(*key) >> 11) * 2.0**-53


def generator(*key: object) -> random.Random:
    """A new random generator for ``key``, for many draws or for other distributions."""
    return random.Random(",".join(map(str, key)))
