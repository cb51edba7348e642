"""Whether the machines have memory for copies of the tensors, from which checkpoints are written."""

from __future__ import annotations

import logging
import platform

from codecascade.ground.format import show_bytes
from codecascade.ground.memory import free_memory
from codecascade.training.parallel.ranks import World

logger = logging.getLogger(__name__)

_SHARE = 0.7
"""Of the free memory, so much may be taken for copies."""


def has_room_for_copies(world: World, needed: int) -> bool:
    """Whether each machine has memory for a copy of its ranks' tensors, which take ``needed`` bytes on this rank.

    All ranks must call this; they get the same answer.
    """
    machines: dict[str, list[tuple[int, int]]] = {}
    for host, each, free in world.gather((platform.node(), needed, free_memory())):
        machines.setdefault(host, []).append((each, free))
    for host, ranks in machines.items():
        wanted, free = sum(each for each, _ in ranks), min(free for _, free in ranks)
        if wanted > _SHARE * free:
            if world.first:
                logger.warning(
                    "training waits while a checkpoint is written: a copy of the state takes %s of memory on %s, "
                    "where %s are free",
                    show_bytes(wanted),
                    host,
                    show_bytes(free),
                )
            return False
    return True
