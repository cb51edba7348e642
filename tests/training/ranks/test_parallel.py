"""What ranks settle between them."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import torch
from torch.distributed import HashStore, PrefixStore

from codecascade.ground.errors import Stopped, UserError
from codecascade.training.failures import store
from codecascade.training.parallel.ranks import World, join_world


class _Rank(World):
    """A rank whose broadcast is given what rank 0 decided."""

    decided: Any = None

    def broadcast(self, value: Any) -> Any:
        return value if self.first else self.decided


def rank(number: int, decided: Any = None) -> _Rank:
    world = _Rank(number, 2, torch.device("cpu"), None)
    object.__setattr__(world, "decided", decided)
    return world


def never() -> str:
    raise AssertionError("only rank 0 may look")


def test_only_the_first_rank_decides() -> None:
    assert rank(0).from_first(lambda: "rank 0's") == "rank 0's"
    assert rank(1, decided="rank 0's").from_first(never) == "rank 0's"


def test_the_first_rank_s_error_is_every_rank_s() -> None:
    error = UserError("is there already", file="runs/x")

    def refuse() -> str:
        raise error

    for world, decide in ((rank(0), refuse), (rank(1, decided=error), never)):
        with pytest.raises(UserError, match="runs/x: is there already"):
            world.from_first(decide)


@pytest.mark.parametrize("size", [1, 2])
# torchrun does not count an attempt on machines whose own ranks have not failed
@pytest.mark.parametrize("attempt", [0, 1])
def test_ranks_that_torchrun_starts_again_after_a_signal_end_at_once(
    monkeypatch: pytest.MonkeyPatch, size: int, attempt: int
) -> None:
    kept = HashStore()
    monkeypatch.setattr(store, "open_store", lambda name: PrefixStore(name, kept))
    monkeypatch.setenv("WORLD_SIZE", str(size))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(attempt))
    assert store.noted_stop() is None
    store.note_stop(signal.SIGUSR1)
    with pytest.raises(Stopped) as caught:
        join_world()
    assert caught.value.exit_code == 138


def test_a_run_that_is_started_anew_knows_nothing_of_a_signal_that_stopped_an_earlier_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each torchrun keeps a store of its own; without torchrun there is none."""
    stores = [HashStore(), HashStore()]
    monkeypatch.setattr(store, "open_store", lambda name: PrefixStore(name, stores[0]))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    store.note_stop(signal.SIGUSR1)
    del stores[0]
    assert store.noted_stop() is None
    store.note_stop(signal.SIGUSR1)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert store.noted_stop() is None
