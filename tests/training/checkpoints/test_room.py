"""Memory for the copies that checkpoints are written from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from codecascade.training.checkpoints import room as room_module
from codecascade.training.checkpoints.room import has_room_for_copies
from codecascade.training.parallel.ranks import World

CPU = torch.device("cpu")


class RankOfTwo(World):
    """Rank 1, for which the value of rank 0 is given."""

    others: Any = None

    def gather(self, value: Any) -> list[Any]:
        return [self.others, value]


def rank_1(others: Any) -> World:
    world = RankOfTwo(1, 2, CPU, None)
    object.__setattr__(world, "others", others)
    return world


@pytest.mark.parametrize(
    ("host", "needed", "room"),
    [("other", 600, True), ("other", 800, False), ("own", 300, True), ("own", 400, False)],
)
def test_ranks_on_one_machine_share_its_memory(
    monkeypatch: pytest.MonkeyPatch, host: str, needed: int, room: bool
) -> None:
    monkeypatch.setattr(room_module, "free_memory", lambda: 1000)
    monkeypatch.setattr(room_module.platform, "node", lambda: "own")
    assert has_room_for_copies(rank_1((host, 400, 1000)), needed) is room
