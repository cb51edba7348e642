"""What checkpoints need of the machines that the ranks are on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from codecascade.ground.errors import UserError
from codecascade.training.checkpoints import shared
from codecascade.training.checkpoints.shared import check_shared, has_room_for_copies
from codecascade.training.parallel.ranks import World

CPU = torch.device("cpu")


class RankOfTwo(World):
    """Rank 1, for which the values of rank 0 are given."""

    first_mark = ""
    others: Any = None

    def from_first(self, decide: Callable[[], Any]) -> Any:
        return self.first_mark

    def gather(self, value: Any) -> list[Any]:
        return [self.others, value]


def rank_1(others: Any, mark: str = "") -> World:
    world = RankOfTwo(1, 2, CPU, None)
    object.__setattr__(world, "others", others)
    object.__setattr__(world, "first_mark", mark)
    return world


def test_a_rank_that_does_not_see_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "PATIENCE", 0.0)
    (tmp_path / ".seen-by-all-1").touch()
    # the first rank may have the folder under another name
    check_shared(tmp_path, rank_1((True, "node0"), mark="/elsewhere/.seen-by-all-1"))
    with pytest.raises(UserError, match=r"rank 1 on .* can't see what rank 0 on node0 wrote there") as caught:
        check_shared(tmp_path / "own", rank_1((True, "node0"), mark=str(tmp_path / ".seen-by-all-1")))
    assert caught.value.file == str(tmp_path / "own")


def test_a_process_on_its_own_makes_no_folder(tmp_path: Path) -> None:
    check_shared(tmp_path / "checkpoints", World(0, 1, CPU, None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "needed", "room"),
    [("other", 600, True), ("other", 800, False), ("own", 300, True), ("own", 400, False)],
)
def test_ranks_on_one_machine_share_its_memory(
    monkeypatch: pytest.MonkeyPatch, host: str, needed: int, room: bool
) -> None:
    monkeypatch.setattr(shared, "free_memory", lambda: 1000)
    monkeypatch.setattr(shared.platform, "node", lambda: "own")
    assert has_room_for_copies(rank_1((host, 400, 1000)), needed) is room
