"""What the seed decides: which problems are asked, and the seed of each problem's samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from codecascade.ground.seeds import draw

Item = TypeVar("Item")


def problem_seed(seed: int, name: str) -> int:
    """The seed of one problem's samples."""
    return draw(seed, name, size=6)


def subset(items: Sequence[Item], count: int | None, seed: int) -> list[Item]:
    """``count`` of the items, chosen by the seed, in their own order; all if ``count`` is None or larger."""
    if count is None or count >= len(items):
        return list(items)
    return [items[index] for index in sorted(random.Random(seed).sample(range(len(items)), count))]
