"""What checkpoints need of the machines: one folder that all ranks see, and memory for a copy of the tensors."""

from __future__ import annotations

import logging
import platform
import secrets
import time
from pathlib import Path

from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import disk_errors
from codecascade.ground.format import show_bytes
from codecascade.ground.memory import free_memory
from codecascade.training.parallel.ranks import World

logger = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds until a new file must be seen by all. Network file systems may remember for a while that there was none."""
_SHARE = 0.7
"""Of the free memory, so much may be taken for copies."""


def check_shared(folder: Path, world: World) -> None:
    """Check that all ranks see the same ``folder``, which is made if there is none. All ranks must call this.

    Raises:
        UserError: some do not, and on which machines; raised on every rank.
    """
    if world.size == 1:
        return
    name = f".seen-by-all-{secrets.token_hex(4)}"

    def write() -> str:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        return str(folder / name)

    # the first rank's folder may have another name: what counts is this rank's own
    mark = folder / Path(world.from_first(write)).name
    end = time.monotonic() + PATIENCE
    while not (seen := mark.exists()) and time.monotonic() < end:
        time.sleep(0.2)
    found = world.gather((seen, platform.node()))
    if world.first:
        mark.unlink(missing_ok=True)
    blind = {rank: host for rank, (sees, host) in enumerate(found) if not sees}
    if blind:
        where = ", ".join(f"rank {rank} on {host}" for rank, host in blind.items())
        raise UserError(
            f"is not the same folder for all ranks: {where} can't see what rank 0 on {found[0][1]} wrote there. "
            "Checkpoints need a file system that all machines share",
            file=folder,
        )


def has_room_for_copies(world: World, needed: int) -> bool:
    """Whether each machine has memory for a copy of its ranks' tensors, which take ``needed`` bytes on this rank.

    All ranks must call this; they get the same answer.
    """
    on: dict[str, list[tuple[int, int]]] = {}
    for host, each, free in world.gather((platform.node(), needed, free_memory())):
        on.setdefault(host, []).append((each, free))
    for host, ranks in on.items():
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
