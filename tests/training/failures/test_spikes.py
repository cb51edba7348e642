"""Steps that are left out: the weights stay, the log says why, and all goes on."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import torch
from poisoned_stream import Poisoned
from tiny_run import losses, read_log, tiny_model, tiny_settings, tiny_train

from codecascade.ground.errors import RunFailed
from codecascade.training.failures.spikes import MOST_IN_A_ROW, SpikeFilter
from codecascade.training.learner import Learner
from codecascade.training.parallel.ranks import World

NOISY = [3.0 + 0.1 * (-1) ** index for index in range(40)]


def test_a_step_that_is_not_finite_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = tiny_settings(steps=8, skip_spikes=True)
    with caplog.at_level(logging.WARNING):
        result = tiny_train(tmp_path, settings, stream=Poisoned(5, float("nan")))
    assert result.skipped == 1
    assert math.isfinite(result.final_loss)
    rows = read_log(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert rows[4]["loss"] is None
    assert rows[4]["lr"] == 0
    assert "the loss is nan" in rows[4]["skipped"]
    assert rows[4]["documents"][:2] == ["0/4/a", "0/4/b"]
    assert all(math.isfinite(row["loss"]) and "skipped" not in row for row in rows if row["step"] != 5)
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("step 5: left out, the loss is nan")
    assert "0/4/a" in told[0]


def test_a_spike_is_left_out_and_counted_over_a_pause(tmp_path: Path) -> None:
    settings = tiny_settings(steps=100, checkpoint_every=95, skip_spikes=True)
    with pytest.raises(KeyboardInterrupt):
        tiny_train(tmp_path, settings, stream=Poisoned(90, None), progress=_interrupt_at_96)
    assert tiny_train(tmp_path, settings, stream=Poisoned(90, None)).skipped == 1
    left_out = [row for row in read_log(tmp_path) if "skipped" in row]
    assert [row["step"] for row in left_out] == [90]
    assert "is a spike" in left_out[0]["skipped"]
    # without it the spike is taken, and what comes after is another loss
    other = tmp_path / "taken"
    tiny_train(other, tiny_settings(steps=100, checkpoint_every=95), stream=Poisoned(90, None))
    assert losses(other)[:90] == losses(tmp_path)[:90]
    assert losses(other)[90] != losses(tmp_path)[90]


def _interrupt_at_96(report: object) -> None:
    if getattr(report, "step", 0) == 96:
        raise KeyboardInterrupt


def test_the_weights_and_moments_of_a_step_left_out_stay() -> None:
    learner = Learner(tiny_model(), tiny_settings(), 20, World(0, 1, torch.device("cpu"), None))
    stream = Poisoned(3, None)
    for step in (1, 2):
        learner.step(stream.batch(range(4)), step)
    before = [tensor.clone() for tensor in learner.model.parameters()]
    taken = learner.step(stream.batch(range(4)), 3, lambda loss, norm: "why")
    assert (taken.skipped, taken.lr) == ("why", 0.0)
    assert all(torch.equal(old, new) for old, new in zip(before, learner.model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in learner.model.parameters())
    assert {int(state["step"]) for state in learner.optimizer.adamw.state.values()} == {2}


def test_many_in_a_row_are_no_spike() -> None:
    spikes = SpikeFilter()
    assert spikes.reason(3.05, 1.0, NOISY) is None
    for _ in range(MOST_IN_A_ROW):
        assert spikes.reason(5.0, 1.0, NOISY) is not None
    with pytest.raises(RunFailed, match=r"11 steps in a row .* turn skip_spikes off"):
        spikes.reason(3.0, float("inf"), NOISY)
    assert SpikeFilter().reason(3.0, float("inf"), NOISY) is not None


def test_a_run_that_learns_nothing_fails(tmp_path: Path) -> None:
    settings = tiny_settings(steps=1, skip_spikes=True)
    with pytest.raises(RunFailed, match="all 1 steps were left out"):
        tiny_train(tmp_path, settings, stream=Poisoned(1, float("nan")))
