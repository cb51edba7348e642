"""Checkpoints and logs: exact, whole, and only of the run they belong to."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_run import CountingStream, tiny_model, tiny_settings

from codecascade.ground.errors import UserError
from codecascade.ground.step_log import read_step_log
from codecascade.training.checkpoints.checkpoints import Checkpoints
from codecascade.training.checkpoints.state import TrainingProgress
from codecascade.training.learner import Learner
from codecascade.training.logs import StepReport, TrainingLog
from codecascade.training.parallel.ranks import World
from codecascade.training.trackers.tensorboard import start_tensorboard
from codecascade.training.trackers.tracker import SafeTracker

ALONE = World(0, 1, torch.device("cpu"), None)
STREAM_STATE = {"0": {"cursor": 3, "left": [1, 2]}, "1": {"cursor": 4, "left": []}}


def trained(steps: int = 2, seed: int = 0, **changes: Any) -> Learner:
    learner = Learner(tiny_model(seed=seed), tiny_settings(**changes), 20, ALONE)
    stream = CountingStream()
    for step in range(1, steps + 1):
        learner.step(stream.batch(range(4)), step)
    return learner


def test_a_document_of_any_name_loses_no_step(tmp_path: Path) -> None:
    """JSON needs no escape for signs that end a line elsewhere."""
    log = tmp_path / "training.jsonl"
    names = [f"a{sign}b.py" for sign in "\u2028\u2029\x85\x0b\x0c\x1c\r"]

    def report(step: int) -> StepReport:
        return StepReport(
            step, 9, 10, 1.0, 1e-3, 1.0, 1.0, 10.0, 0.1, 1.0, {"documents": 1}, "a spike", tuple(names)
        )

    for last in (0, 2):
        written = TrainingLog(log, last_step=last)
        for step in range(last + 1, last + 4):
            written.write(report(step))
        written.close()
    rows = read_step_log(log)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5] and rows[0]["documents"] == names


def test_round_trip_is_exact(tmp_path: Path) -> None:
    learner, progress = trained(), TrainingProgress(2, 192, 1.5, [4.0, 3.5])
    checkpoints = Checkpoints(tmp_path, ALONE, {"a": 1})
    checkpoints.save(progress, learner.model, learner.optimizer.adamw, STREAM_STATE)
    expected_random = torch.rand(3)

    other = trained(steps=0, seed=1)
    loaded = Checkpoints(tmp_path, ALONE, {"a": 1}).load(other.model, other.optimizer.adamw)
    assert loaded == (progress, STREAM_STATE)
    assert torch.equal(torch.rand(3), expected_random)
    for (name, left), right in zip(learner.model.named_parameters(), other.model.parameters(), strict=True):
        assert torch.equal(left, right), name
        moments, theirs = learner.optimizer.adamw.state[left], other.optimizer.adamw.state[right]
        assert moments.keys() == theirs.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(moments[key], theirs[key]) for key in moments), name


def test_nothing_to_load(tmp_path: Path) -> None:
    learner = trained(0)
    assert Checkpoints(tmp_path, ALONE, {}).load(learner.model, learner.optimizer.adamw) is None


def test_newest_two_are_kept(tmp_path: Path) -> None:
    learner, checkpoints = trained(1), Checkpoints(tmp_path, ALONE, {})
    for step in (9, 10, 11):
        checkpoints.save(TrainingProgress(step), learner.model, learner.optimizer.adamw, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000011"]
    latest = checkpoints.latest()
    assert latest is not None
    assert latest.name == "step-00000011"


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    learner, checkpoints = trained(1), Checkpoints(tmp_path, ALONE, {})
    checkpoints.save(TrainingProgress(3), learner.model, learner.optimizer.adamw, {})
    (tmp_path / ".step-00000004.new-abc" / "tensors").mkdir(parents=True)
    loaded = checkpoints.load(learner.model, learner.optimizer.adamw)
    assert loaded is not None
    assert loaded[0].step == 3
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_another_run_is_refused_with_the_differences(tmp_path: Path) -> None:
    learner = trained(1)
    old = {"settings": {"learning_rate": 0.1, "rows": (1, 2), "steps": 3}, "base": "a"}
    new = {"settings": {"learning_rate": 0.2, "rows": [1, 2]}, "base": "a", "more": None}
    Checkpoints(tmp_path, ALONE, old).save(TrainingProgress(1), learner.model, learner.optimizer.adamw, {})
    with pytest.raises(UserError) as error:
        Checkpoints(tmp_path, ALONE, new).load(learner.model, learner.optimizer.adamw)
    assert "settings.learning_rate 0.1, now 0.2; settings.steps 3, now null." in str(error.value)
    assert "rows" not in str(error.value)


def test_a_full_disk_costs_nothing_but_the_new_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, checkpoints = trained(1), Checkpoints(tmp_path, ALONE, {})
    checkpoints.save(TrainingProgress(1), learner.model, learner.optimizer.adamw, {})

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.distributed.checkpoint.filesystem._write_item", full)
    with pytest.raises(UserError, match="disk is full"):
        checkpoints.save(TrainingProgress(2), learner.model, learner.optimizer.adamw, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert checkpoints.load(learner.model, learner.optimizer.adamw) is not None


def test_lora_checkpoints_hold_only_what_trains(tmp_path: Path) -> None:
    learner = trained(1, train="lora", lora_rank=2)
    Checkpoints(tmp_path, ALONE, {}).save(TrainingProgress(1), learner.model, learner.optimizer.adamw, {})
    stored = dcp.FileSystemReader(tmp_path / "step-00000001" / "tensors").read_metadata().state_dict_metadata
    weights = {name for name in stored if name.startswith("model.") and "lora_" not in name}
    assert any("lora_a" in name for name in stored)
    assert weights == set()


def report(step: int) -> StepReport:
    return StepReport(
        step=step,
        steps=5,
        tokens=96 * step,
        loss=4.0 - step,
        lr=0.1,
        seconds=2.0 * step,
        step_seconds=2.0,
        tokens_per_second=48.0,
        mfu=0.5,
        grad_norm=1.0,
        counts={"documents": 4, "infilled": 3},
    )


def tensorboard(folder: Path, last_step: int) -> SafeTracker:
    return SafeTracker("tensorboard", lambda: start_tensorboard(folder, last_step))


def test_log_has_one_object_a_step_after_a_resume(tmp_path: Path) -> None:
    path, board = tmp_path / "log.jsonl", tmp_path / "board"
    first = TrainingLog(path, [tensorboard(board, 0)], last_step=0)
    for step in (1, 2, 3):
        first.write(report(step))
    first.close()
    with path.open("a") as file:
        file.write('{"step": 4, "tok')  # killed here
    second = TrainingLog(path, [tensorboard(board, 2)], last_step=2)
    for step in (3, 4, 5):
        second.write(report(step))
    second.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    assert {"tokens": 96, "loss": 3.0, "lr": 0.1, "seconds": 2.0, "infilling_rate": 0.75}.items() <= rows[
        0
    ].items()
    events = EventAccumulator(str(board)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("training/loss")] == [
        (step, pytest.approx(4.0 - step)) for step in range(1, 6)
    ]


def test_time_left() -> None:
    assert report(2).seconds_left == 6.0
