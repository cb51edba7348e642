"""Random draws by a key, never from a shared generator: the same whatever was drawn, or resumed, before."""

from __future__ import annotations

import random
from hashlib import blake2b


def draw(*key: object, size: int = 8, separator: str = ",") -> int:
    """A number in [0, 256^size) that depends on ``key`` alone, on every machine.

    The parts of the key are written as text and joined by ``separator``: name one that no part holds where parts
    are free text. Results, corpora and training streams depend on the values, so they never change.

    Args:
        size: bytes of the number, from 1 to 64.

    >>> draw(0, "HumanEval/0", size=6), draw("a", "b", separator="\\0")
    (208293477421032, 18429100309458631331)
    """
    text = separator.join(map(str, key))
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest())


def uniform(*key: object) -> float:
    """A number in [0, 1) of 53 bits that depends on ``key`` alone."""
    return (draw(*key) >> 11) * 2.0**-53


def generator(*key: object) -> random.Random:
    """A generator of its own for whatever ``key`` names, for draws that are many or of other shapes."""
    return random.Random(",".join(map(str, key)))
