"""Ranks wait for the first one as long as it takes: no limit of the process group ends that."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
import torch.distributed as dist

from codecascade.training.parallel import ranks
from codecascade.training.parallel.ranks import World


class Store:
    """Of two ranks; the other one arrives after some looks."""

    def __init__(self, looks: int) -> None:
        self.looks, self.counts = looks, dict[str, int]()

    def add(self, key: str, amount: int) -> int:
        self.counts[key] = self.counts.get(key, 0) + amount
        self.looks -= amount == 0
        if self.looks == 0:
            self.counts[key] += 1
        return self.counts[key]


def test_a_wait_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    store = Store(looks=100_000)
    monkeypatch.setattr(ranks, "_stores", [store])
    monkeypatch.setattr(ranks.time, "sleep", sleep)
    monkeypatch.setattr(ranks.time, "monotonic", lambda: clock[0])

    def gather(*arguments: Any) -> None:
        raise AssertionError("the process group has a limit")

    monkeypatch.setattr(dist, "all_gather_object", gather)
    world = World(0, 2, torch.device("cpu"), cast(Any, object()))
    world.wait_for_all()
    # More than a day of it; a short wait is over soon, a long one costs a look a second.
    assert clock[0] > 24 * 3600 and slept[0] < 0.01 and max(slept) == 1.0
    store.looks = 1
    world.wait_for_all()
    assert len(store.counts) == 2


def test_a_process_on_its_own_waits_for_nobody() -> None:
    World(0, 1, torch.device("cpu"), None).wait_for_all()
