"""What is timed of a step, and what is told of the whole by it, on a clock that depends on the tokens alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from codecascade.cascade.budget import steps
from codecascade.cascade.budget.steps import LONG_STEP, step_seconds
from codecascade.model.presets import PRESETS
from codecascade.recipe import make_recipe
from codecascade.recipe.settings import Stage
from codecascade.training.parallel.ranks import World

CONFIG = PRESETS["smollm2-135m"]


class Clock:
    """A step takes a while, and a time for each token of a rank; what was timed is noted."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, fixed: float, each: float, device: str = "cpu", ranks: int = 1
    ) -> None:
        self.fixed, self.each, self.ranks = fixed, each, ranks
        self.timed: list[tuple[int, int]] = []
        monkeypatch.setattr(steps, "measure_step_seconds", self)
        monkeypatch.setattr(steps, "join_world", lambda: World(0, ranks, torch.device(device), None))

    def __call__(self, config: Any, stream: Any, settings: Any) -> float:
        assert config is CONFIG and settings.total_steps == 3
        assert settings.rows % self.ranks == 0 and settings.rows % (settings.micro_batch_rows or 1) == 0
        batch = stream.batch(range(settings.rows // self.ranks))
        assert batch.tokens.shape == (settings.rows // self.ranks, settings.sequence_length + 1)
        self.timed.append((settings.rows, settings.sequence_length))
        return self.seconds(settings.batch_tokens)

    def seconds(self, tokens: int) -> float:
        return self.fixed + self.each * tokens / self.ranks


def stage(data: dict[str, Any], length: int, tokens: int) -> Stage:
    shape = {"steps": 9, "sequence_length": length, "batch_tokens": tokens, "micro_batch_rows": 4}
    return make_recipe({**data, "stage": [{**data["stage"][0], **shape}]}).stage[0]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_short_step_is_timed_as_a_whole(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    clock = Clock(monkeypatch, 0.01, 0.0001, device)
    assert step_seconds(stage(data, 512, 8192), CONFIG, 512) == pytest.approx(clock.seconds(8192))
    assert clock.timed[-1] == (16, 512)


def test_a_long_step_is_timed_as_a_whole_on_gpus(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, 1.0, 0.01, "cuda")
    assert step_seconds(stage(data, 512, 8192), CONFIG, 512) == clock.seconds(8192)
    assert clock.timed == [(16, 512)]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("fixed", "each"), [(0.1, 0.005), (1.0, 0.003), (0.0, 0.02)])
def test_of_a_long_step_two_rows_are_timed_on_cpus(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, fixed: float, each: float, ranks: int
) -> None:
    clock = Clock(monkeypatch, fixed, each, ranks=ranks)
    found = step_seconds(stage(data, 512, 65_536), CONFIG, 512)
    assert [rows for rows, _ in clock.timed] == [ranks, ranks]
    assert all(clock.seconds(rows * length) <= LONG_STEP for rows, length in clock.timed)
    # Long rows need a little more for attention, which this clock does not know.
    assert clock.seconds(65_536) * 0.98 < found < clock.seconds(65_536) * 1.2


@pytest.mark.parametrize("each", [0.04, 0.5])
def test_one_row_is_enough_where_that_takes_long(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, each: float
) -> None:
    clock = Clock(monkeypatch, 0.0, each)
    assert step_seconds(stage(data, 512, 65_536), CONFIG, 512) == pytest.approx(clock.seconds(65_536))
    assert sum(length for _, length in clock.timed) <= 192


def test_a_timing_that_shows_no_time_for_a_token_is_not_believed(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, 2.0, 0.0)
    assert step_seconds(stage(data, 512, 65_536), CONFIG, 512) > 65_536 / 256
