"""What the seed draws: which problems are asked, and what each of their samples starts from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from codecascade.ground.seeds import draw

Item = TypeVar("Item")


def problem_seed(seed: int, name: str) -> int:
    """A seed of its own for each problem."""
    return draw(seed, name, size=6)


def subset(items: Sequence[Item], count: int | None, seed: int) -> list[Item]:
    """``count`` of ``items`` (all, if None or fewer there), chosen by the seed, in their own order."""
    if count is None or count >= len(items):
        return list(items)
    return [items[place] for place in sorted(random.Random(seed).sample(range(len(items)), count))]
