"""What is timed of the engine, on a clock that only the engine moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from codecascade.cascade.budget import measuring
from codecascade.cascade.budget.measuring import PROMPTS, SHORT_TIMING, MeasuringTimer
from codecascade.generation.requests import Completion, Request


class FakeEngine:
    """Needs 2 ms for a token that it reads and 30 ms for one that it writes, and never reads one text twice."""

    tokenizer = SimpleNamespace(vocab_size=1000)

    def __init__(self, context: int = 4096, slower: float = 1.0) -> None:
        self.context_length, self.slower, self.now = context, slower, 0.0
        self.read: list[tuple[int, ...]] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for number, request in enumerate(requests):
            assert request.ids not in self.read
            assert len(request.ids) + request.sampling.max_new_tokens <= self.context_length
            self.read.append(request.ids)
            written = request.sampling.max_new_tokens - 1
            self.now += self.slower * (0.002 * len(request.ids) + 0.03 * written)
            yield Completion(number, 0, "", (), "length")


def timer_of(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> MeasuringTimer:
    def load(name: str, precision: str) -> Any:
        assert (name, precision) == ("base", "fp32")
        engine.now += 5
        return engine

    monkeypatch.setattr(measuring.time, "perf_counter", lambda: engine.now)
    return MeasuringTimer("base", "fp32", load)


@pytest.mark.parametrize("context", [4096, 64])
@pytest.mark.parametrize("slower", [0.1, 1.0, 7.0, 1000.0])
def test_reading_and_writing_are_told_apart(
    context: int, slower: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(context, slower)
    speed = timer_of(engine, monkeypatch).speed()
    assert speed.read == pytest.approx(slower * 0.002)
    assert speed.written == pytest.approx(slower * 0.03)
    assert speed.loading > 5
    assert speed.seconds(0, 0) == speed.loading
    assert speed.seconds(1000, 100, 2.0) == pytest.approx(
        2 * (speed.loading + 1000 * speed.read + 100 * speed.written)
    )


@pytest.mark.parametrize(
    ("slower", "long"), [(0.1, 2 * PROMPTS), (1.0, 2 * PROMPTS), (3.0, 16), (7.0, 0), (1000.0, 0)]
)
def test_the_first_text_says_how_many_others_are_a_matter_of_seconds(
    slower: float, long: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the estimate, which is many times too long where other work kept the machine busy when it was made."""
    engine = FakeEngine(slower=slower)
    timer_of(engine, monkeypatch).speed()
    assert len([ids for ids in engine.read if len(ids) > 16]) == long
    if long:
        assert engine.now - 5 <= SHORT_TIMING + slower


def test_a_model_whose_first_text_takes_long_is_not_timed() -> None:
    timer = MeasuringTimer("base", "auto")
    assert timer.is_short(135_000_000, 1e11)
    assert timer.is_short(500_000_000, 3e9), "the machine was busy when its speed was estimated"
    assert not timer.is_short(70_000_000_000, 1e11)
