"""What is timed of the engine, on a clock that only the engine moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from codecascade.cascade.budget import measuring
from codecascade.cascade.budget.measuring import MeasuringTimer
from codecascade.generation.requests import Completion, Request


class FakeEngine:
    """Needs 2 ms for a token that it reads and 30 ms for one that it writes, and never reads one text twice."""

    tokenizer = SimpleNamespace(vocab_size=1000)

    def __init__(self, context: int = 4096) -> None:
        self.context_length, self.now = context, 0.0
        self.read: set[tuple[int, ...]] = set()

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for number, request in enumerate(requests):
            assert request.ids not in self.read
            assert len(request.ids) + request.sampling.max_new_tokens <= self.context_length
            self.read.add(request.ids)
            self.now += 0.002 * len(request.ids) + 0.03 * (request.sampling.max_new_tokens - 1)
            yield Completion(number, 0, "", (), "length")


@pytest.mark.parametrize("context", [4096, 64])
def test_reading_and_writing_are_told_apart(context: int, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(context)

    def load(name: str, precision: str) -> Any:
        assert (name, precision) == ("base", "fp32")
        engine.now += 5
        return engine

    monkeypatch.setattr(measuring.time, "perf_counter", lambda: engine.now)
    speed = MeasuringTimer("base", "fp32", load).speed()
    assert speed.read == pytest.approx(0.002)
    assert speed.written == pytest.approx(0.03)
    assert speed.loading > 5
    assert speed.seconds(0, 0) == speed.loading
    assert speed.seconds(1000, 100, 2.0) == pytest.approx(
        2 * (speed.loading + 1000 * speed.read + 100 * speed.written)
    )


def test_a_model_that_takes_long_is_not_timed() -> None:
    timer = MeasuringTimer("base", "auto")
    assert timer.worth_while(135_000_000, 1e11)
    assert not timer.worth_while(7_000_000_000, 1e11)
