"""Ranks in threads of one process, for what they tell each other."""

from __future__ import annotations

import threading
from typing import Any

import torch

from codecascade.training.parallel.ranks import World


class _Rank(World):
    """A rank in a thread of this process."""

    meeting: threading.Barrier
    values: list[Any]

    def gather(self, value: Any) -> list[Any]:
        self.values[self.rank] = value
        self.wait_for_all()
        found = [*self.values]
        self.wait_for_all()
        return found

    def wait_for_all(self) -> None:
        self.meeting.wait(60)


def ranks(count: int) -> list[World]:
    """So many, each of which must work in a thread of its own."""
    meeting, values = threading.Barrier(count), [None] * count
    worlds = [_Rank(number, count, torch.device("cpu"), None) for number in range(count)]
    for world in worlds:
        object.__setattr__(world, "meeting", meeting)
        object.__setattr__(world, "values", values)
    return [*worlds]
