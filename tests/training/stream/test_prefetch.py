"""Prefetching changes when batches are made, and nothing else."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import torch
from stream_fakes import make_stream, random_documents

from codecascade.ground.errors import UserError
from codecascade.training.stream.prefetch import Prefetcher
from codecascade.training.stream.stream import Batch, TokenStream

ROWS = range(1, 6)


def stream() -> TokenStream:
    return make_stream(random_documents([10, 40, 200, 30, 90]), rows=7)


@pytest.mark.parametrize("workers", [0, 1, 2, 9])
def test_any_number_of_workers_gives_the_stream(workers: int) -> None:
    plain = stream()
    batches = Prefetcher(stream(), ROWS, workers=workers)
    try:
        assert batches.state_dict() == plain.state_dict(ROWS)
        for _ in range(6):
            expected, given = plain.batch(ROWS), batches.next()
            assert torch.equal(given.tokens, expected.tokens)
            assert given.documents == expected.documents and given.counts == expected.counts
            assert batches.state_dict() == plain.state_dict(ROWS), (
                "of what was consumed, not of what was made"
            )
    finally:
        batches.close()


def test_a_run_goes_on_from_the_consumed_state() -> None:
    first = Prefetcher(stream(), ROWS, workers=2)
    for _ in range(3):
        first.next()
    state = first.state_dict()
    time.sleep(0.05)  # the threads run ahead
    fourth = first.next()
    first.close()
    resumed = stream()
    resumed.load_state_dict(state)
    second = Prefetcher(resumed, ROWS, workers=1)
    assert torch.equal(second.next().tokens, fourth.tokens)
    second.close()


class Failing:
    def __init__(self) -> None:
        self.left = 2

    def batch(self, rows: range) -> Batch:
        self.left -= 1
        if self.left < 0:
            raise UserError("the shard is broken")
        return make_stream(random_documents([5]), rows=2).batch(rows)

    def state_dict(self, rows: range) -> dict[Any, Any]:
        return {}


def test_a_worker_s_error_comes_out_and_the_threads_end() -> None:
    before = threading.active_count()
    batches = Prefetcher(Failing(), range(2), workers=1)
    batches.next()
    batches.next()
    with pytest.raises(UserError, match="the shard is broken"):
        batches.next()
    batches.close()
    assert threading.active_count() == before
