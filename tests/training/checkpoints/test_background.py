"""Checkpoints that are written while the training goes on."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import CountingStream, losses, tiny_model, tiny_settings, tiny_train
from torch.distributed.checkpoint import filesystem

from codecascade.ground.errors import UserError
from codecascade.training.checkpoints import checkpoints as module
from codecascade.training.checkpoints.checkpoints import Checkpoints
from codecascade.training.checkpoints.state import TrainingProgress
from codecascade.training.learner import Learner
from codecascade.training.logs import StepReport
from codecascade.training.parallel.ranks import World

ALONE = World(0, 1, torch.device("cpu"), None)


class SlowDisk:
    """A disk that writes nothing until it is told to; then it may be full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_write, self.full = threading.Event(), False
        before = filesystem._write_item  # type: ignore[attr-defined]

        def write(*arguments: Any, **more: Any) -> Any:
            assert self.may_write.wait(60)
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return before(*arguments, **more)

        monkeypatch.setattr(filesystem, "_write_item", write)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.may_write.set()


def steps(learner: Learner, stream: CountingStream, first: int, last: int) -> None:
    for step in range(first, last + 1):
        learner.step(stream.batch(range(4)), step)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("step-*"))


def test_it_has_the_tensors_of_its_step_and_counts_when_it_is_whole(disk: SlowDisk, tmp_path: Path) -> None:
    learner, stream = Learner(tiny_model(), tiny_settings(), 20, ALONE), CountingStream()
    steps(learner, stream, 1, 2)
    expected = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    moments = [state["exp_avg"].clone() for state in learner.optimizer.adamw.state.values()]
    checkpoints, progress = Checkpoints(tmp_path, ALONE, {}), TrainingProgress(2, 192, 1.0, [4.0, 3.0])
    checkpoints.save(progress, learner.model, learner.optimizer.adamw, {"0": 2}, background=True)
    assert checkpoints.status == "writing"

    # the training goes on, and whoever looks meanwhile finds no checkpoint
    progress.step, progress.losses = 4, [1.0]
    steps(learner, stream, 3, 4)
    assert names(tmp_path) == []
    other = Learner(tiny_model(seed=1), tiny_settings(), 20, ALONE)
    assert Checkpoints(tmp_path, ALONE, {}).load(other.model, other.optimizer.adamw) is None

    disk.may_write.set()
    checkpoints.close()
    assert checkpoints.status == "idle"
    loaded = Checkpoints(tmp_path, ALONE, {}).load(other.model, other.optimizer.adamw)
    assert loaded == (TrainingProgress(2, 192, 1.0, [4.0, 3.0]), {"0": 2})
    assert all(torch.equal(tensor, expected[name]) for name, tensor in other.model.state_dict().items())
    for state, moment in zip(other.optimizer.adamw.state.values(), moments, strict=True):
        assert torch.equal(state["exp_avg"], moment)


def test_training_waits_for_none_and_at_most_one_is_written(disk: SlowDisk, tmp_path: Path) -> None:
    """Due after steps 3, 6, 9 ...; the first is slow, so the next one comes when it is whole, at step 14."""
    seen: dict[int, list[str]] = {}

    def progress(report: StepReport) -> None:
        folder = tmp_path / "checkpoints"
        seen[report.step] = [path.name for path in folder.iterdir()] if folder.exists() else []
        if report.step == 13:
            disk.may_write.set()
            while not names(folder):
                assert not stop.wait(0.005)

    stop = threading.Event()
    tiny_train(tmp_path, tiny_settings(steps=20), progress=progress)
    # the only folder there is the one that is being written
    assert all(len(seen[step]) == 1 and seen[step][0].startswith(".step-00000003") for step in range(4, 13))
    assert names(tmp_path / "checkpoints")[-1] == "step-00000020"
    tiny_train(tmp_path / "other", tiny_settings(steps=20, async_checkpoints=False))
    assert losses(tmp_path) == losses(tmp_path / "other")


def test_a_failure_ends_the_run_and_leaves_nothing_half_written(disk: SlowDisk, tmp_path: Path) -> None:
    def progress(report: StepReport) -> None:
        if report.step == 8:
            disk.full = True
            disk.may_write.set()

    with pytest.raises(UserError, match="the disk is full") as caught:
        # the end waits for what is written in the background, so its failure is always seen
        tiny_train(tmp_path, tiny_settings(steps=12, checkpoint_every=6), progress=progress)
    assert "step-0000000" in str(caught.value)
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert 8 <= len(losses(tmp_path)) <= 12


def test_another_error_waits_for_the_checkpoint_that_is_written(disk: SlowDisk, tmp_path: Path) -> None:
    def progress(report: StepReport) -> None:
        if report.step == 7:
            disk.may_write.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_train(tmp_path, tiny_settings(steps=12, checkpoint_every=6), progress=progress)
    assert names(tmp_path / "checkpoints") == ["step-00000006"]


def test_without_memory_for_a_copy_the_training_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("codecascade.training.checkpoints.room.free_memory", lambda: 1000)
    learner = Learner(tiny_model(), tiny_settings(), 20, ALONE)
    checkpoints = Checkpoints(tmp_path, ALONE, {})
    for step in (1, 2):
        checkpoints.save(TrainingProgress(step), learner.model, learner.optimizer.adamw, {}, background=True)
        assert checkpoints.status == "idle"
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    told = [record.getMessage() for record in caplog.records if record.name.startswith("codecascade")]
    assert len(told) == 1
    assert "training waits while a checkpoint is written" in told[0]
    assert module.local_bytes({"a": [torch.zeros(3), torch.zeros(2, dtype=torch.int64)], "b": "x"}) == 28
