"""Which rank is named when a step takes too long."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping

import pytest
import torch
import torch.distributed as dist

from codecascade.training.failures.step_watch import (
    CHECKPOINT,
    COMPUTING,
    EXCHANGING,
    FIRST_STEP,
    READING,
    SAVING,
    StepWatch,
    Whereabouts,
    describe,
    place_of,
)
from codecascade.training.parallel.ranks import World

CPU = torch.device("cpu")


def told(phase: int = COMPUTING, step: int = 7, beat: int = 5, place: str = "") -> Whereabouts:
    return Whereabouts("node", beat, step, phase, place)


def later(ranks: Mapping[int, Whereabouts], *silent: int) -> dict[int, Whereabouts]:
    """What they tell some seconds later."""
    return {
        rank: each
        if rank in silent
        else Whereabouts(each.host, each.beat + 3, each.step, each.phase, each.place)
        for rank, each in ranks.items()
    }


CASES = {
    "stopped": ({0: told(), 1: told(), 2: told()}, (1,), "rank 1 on node does not answer"),
    "its machine is gone": ({0: told(), 2: told()}, (), "rank 1 does not answer"),
    "reads": (
        {0: told(), 1: told(READING, place="training/stream/stream.py:1 (batch)"), 2: told()},
        (),
        "rank 1 on node is still in step 7 and reads its batch, at training/stream/stream.py:1",
    ),
    "a step behind": (
        {0: told(EXCHANGING, 6), 1: told(), 2: told(READING)},
        (),
        "rank 0 on node is still in step 6",
    ),
    "computes alone": (
        {0: told(), 1: told(), 2: told(place="model/llama.py:9 (forward)")},
        (),
        "rank 2 on node is at model/llama.py:9",
    ),
    "nobody": ({0: told(), 1: told(), 2: told()}, (), "no rank is behind the others, each computes"),
    "all compute": ({rank: told(place="a.py:1 (f)") for rank in range(3)}, (), "no rank is behind"),
    "no store": ({}, (), "the store of the ranks"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_rank_that_the_others_wait_for_is_named(case: str) -> None:
    before, silent, expected = CASES[case]
    message = describe(before, later(before, *silent), 3, told(), 61.0)
    assert message.startswith("step 7: the step has not ended after 61 s; ")
    assert expected in message
    assert "torchrun --max-restarts" in message


def test_a_place_is_our_own_code_or_nothing_inside_torch_distributed() -> None:
    waiting = compile("found = place_of(sys._getframe())", "/x/torch/distributed/c10d.py", "exec")
    names = {"place_of": place_of, "sys": sys, "found": None}
    exec(waiting, names)
    assert names["found"] == ""
    with StepWatch(World(0, 1, CPU, None), None) as watch:
        assert watch._place().startswith("codecascade/training/failures/step_watch.py:")


def test_limits() -> None:
    watch = StepWatch(World(0, 2, CPU, None), None)
    watch.at(1, READING)
    assert watch.current_limit() == FIRST_STEP
    watch.done(700)
    assert watch.current_limit() == 700
    for seconds in (2, 90, 40):
        watch.done(seconds)
    assert watch.current_limit() == 900
    with watch.saving(4):
        assert watch.current_limit() == CHECKPOINT
    given = StepWatch(World(0, 2, CPU, None), 20)
    assert given.current_limit() == 200
    given.done(1)
    assert given.current_limit() == 20
    given.at(2, SAVING)
    assert given.current_limit() == CHECKPOINT


def test_two_ranks_find_the_one_that_hangs_and_both_end() -> None:
    """Rank 0 waits in a step, rank 1 still reads its batch; steps that end in time end nothing."""
    store, ended = dist.HashStore(), threading.Event()
    messages: dict[int, str] = {}

    def watch(rank: int) -> StepWatch:
        def end(message: str) -> None:
            messages[rank] = message
            if len(messages) == 2:
                ended.set()

        return StepWatch(World(rank, 2, CPU, None), 1.0, end=end, interval=0.1, open_store=lambda name: store)

    with watch(0) as first, watch(1) as second:
        for one in (first, second):
            one.at(1, READING)
            one.done(0.1)
        # between two steps nothing is watched
        assert not ended.wait(1.5)
        for one in (first, second):
            one.at(2, READING)
        first.at(2, COMPUTING)
        assert ended.wait(60)
    assert all(
        "rank 1 on" in message and "is still in step 2 and reads its batch" in message
        for message in messages.values()
    )
