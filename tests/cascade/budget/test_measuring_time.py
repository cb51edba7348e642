"""What is timed of the engine, on a clock that only the engine moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from codecascade.cascade.budget import measuring
from codecascade.cascade.budget.measuring import FEWEST_PROMPTS, PROMPTS, MeasuringTimer
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


@pytest.mark.parametrize(("context", "prompts"), [(4096, 24), (4096, 4), (64, 24)])
def test_reading_and_writing_are_told_apart(
    context: int, prompts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(context)

    def load(name: str, precision: str) -> Any:
        assert (name, precision) == ("base", "fp32")
        engine.now += 5
        return engine

    monkeypatch.setattr(measuring.time, "perf_counter", lambda: engine.now)
    speed = MeasuringTimer("base", "fp32", load).speed(prompts)
    assert speed.read == pytest.approx(0.002)
    assert speed.written == pytest.approx(0.03)
    assert speed.loading > 5
    assert speed.seconds(0, 0) == speed.loading
    assert speed.seconds(1000, 100, 2.0) == pytest.approx(
        2 * (speed.loading + 1000 * speed.read + 100 * speed.written)
    )


def test_a_larger_model_is_asked_fewer_texts_and_one_that_takes_long_none() -> None:
    timer = MeasuringTimer("base", "auto")
    assert timer.prompts(135_000_000, 1e11) == PROMPTS
    assert FEWEST_PROMPTS <= timer.prompts(500_000_000, 1e11) < PROMPTS
    assert timer.prompts(7_000_000_000, 1e11) == 0
