"""The loop in one process: it learns, resumes exactly, and ends cleanly."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from poisoned_stream import Poisoned
from rich.console import Console
from tiny_run import LENGTH, CountingStream, losses, read_log, tiny_model, tiny_settings, tiny_train

from codecascade.ground.errors import RunFailed, UserError
from codecascade.training.failures.spikes import is_spike
from codecascade.training.logs import StepReport
from codecascade.training.progress_bar import ProgressBar
from codecascade.training.trackers.tensorboard import start_tensorboard
from codecascade.training.trackers.tracker import SafeTracker


class Interrupt(Exception):
    """Stands for a crash after some step."""


def crash_after(step: int) -> Any:
    def callback(report: StepReport) -> None:
        if report.step == step:
            raise Interrupt

    return callback


def test_training_learns_and_reports(tmp_path: Path) -> None:
    reports: list[StepReport] = []
    settings = tiny_settings(steps=30)

    def trackers(last_step: int) -> list[SafeTracker]:
        return [SafeTracker("tensorboard", lambda: start_tensorboard(tmp_path / "board", last_step))]

    result = tiny_train(tmp_path, settings, progress=reports.append, trackers=trackers)
    log = read_log(tmp_path)
    assert [row["step"] for row in log] == list(range(1, 31))
    assert log[-1]["tokens"] == result.tokens == 30 * 4 * LENGTH
    assert {"step", "tokens", "loss", "lr", "seconds", "grad_norm", "tokens_per_second", "mfu"} <= log[
        0
    ].keys()
    assert log[-1]["loss"] < log[0]["loss"] - 1
    assert result.final_loss == pytest.approx(log[-1]["loss"], abs=0.5)
    assert log[-1]["seconds"] == result.seconds >= log[0]["seconds"] > 0
    assert log[0]["counts"] == {"documents": 8, "infilled": 4}
    assert log[0]["infilling_rate"] == 0.5
    assert [report.loss for report in reports] == losses(tmp_path)
    assert result.flops > 0
    assert "fp32" in result.precision
    assert list((tmp_path / "board").iterdir())


def test_resuming_gives_the_losses_of_a_run_without_a_pause(tmp_path: Path) -> None:
    settings = tiny_settings(steps=12, checkpoint_every=4)
    tiny_train(tmp_path / "whole", settings)
    for step in (2, 6, 11):  # after no checkpoint, after one, and after several
        with pytest.raises(Interrupt):
            tiny_train(tmp_path / "parts", settings, progress=crash_after(step))
    weights = tiny_model(seed=7)  # overwritten by the checkpoint
    tiny_train(tmp_path / "parts", settings, model=weights)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert [row["step"] for row in read_log(tmp_path / "parts")] == list(range(1, 13))


def test_a_finished_run_does_nothing_and_gives_its_weights(tmp_path: Path) -> None:
    first, again = tiny_model(), tiny_model(seed=3)
    result = tiny_train(tmp_path, tiny_settings(steps=4), model=first)
    steps: list[StepReport] = []
    assert tiny_train(tmp_path, tiny_settings(steps=4), model=again, progress=steps.append) == result
    assert steps == []
    for left, right in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(left, right)


def test_another_run_is_refused(tmp_path: Path) -> None:
    tiny_train(tmp_path, tiny_settings(steps=3))
    with pytest.raises(UserError, match=r"settings.learning_rate 0.01, now 0.02"):
        tiny_train(tmp_path, tiny_settings(steps=3, learning_rate=0.02))
    assert len(losses(tmp_path)) == 3


def test_nan_stops_the_run_before_anything_bad_is_saved(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"step 5.*0/4/a"):
        tiny_train(tmp_path, tiny_settings(), stream=Poisoned(5, float("nan")))
    assert len(losses(tmp_path)) == 4
    tiny_train(tmp_path, tiny_settings(), stream=CountingStream())  # the checkpoint of step 3 is whole
    assert len(losses(tmp_path)) == 20


def test_a_spike_is_reported_with_its_documents(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tiny_train(tmp_path, tiny_settings(steps=100, checkpoint_every=100), stream=Poisoned(90, None))
    spikes = [record.getMessage() for record in caplog.records if "spike" in record.getMessage()]
    assert len(spikes) == 1
    assert spikes[0].startswith("step 90: loss")
    assert "0/89/a, 0/89/b, 1/89/a" in spikes[0]


def test_spikes_stand_out_of_the_noise() -> None:
    noisy = [3.0 + 0.1 * (-1) ** index for index in range(40)]
    assert not is_spike(3.3, noisy)
    assert is_spike(4.5, noisy)
    assert not is_spike(4.5, noisy[:10])  # too early to tell
    assert not is_spike(3.05, [3.0] * 40)


def test_a_budget_in_minutes_must_be_resolved_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="with_step_seconds"):
        tiny_train(tmp_path, tiny_settings(steps=None, minutes=1))


def test_progress_bar_shows_loss_speed_and_time_left(tmp_path: Path) -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=140)
    with ProgressBar("code", console) as bar:
        tiny_train(tmp_path, tiny_settings(steps=3), progress=bar)
    shown = text.getvalue()
    assert all(part in shown for part in ("code", "3/3", "loss", "tok/s", "MFU", "left"))


@pytest.mark.parametrize("name", ["checkpoints", "log.jsonl", "logs/log.jsonl"])
def test_what_is_in_the_way_is_named_before_the_first_step(tmp_path: Path, name: str) -> None:
    paths = {"log": tmp_path / name} if "log" in name else {}
    if name == "log.jsonl":
        (tmp_path / name).mkdir()
        wrong = tmp_path / name
    else:
        wrong = tmp_path / name.split("/")[0]
        wrong.write_text("mine")
    with pytest.raises(UserError, match="is needed here; move it away") as caught:
        tiny_train(tmp_path, tiny_settings(steps=1), **paths)
    assert caught.value.file == str(wrong)
    assert not (tmp_path / "checkpoints").is_dir()
