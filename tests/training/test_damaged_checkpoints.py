"""Damaged checkpoints: the one before is taken, with a warning; never a traceback, and never silently."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_run import tiny_model, tiny_settings

from codecascade.ground.errors import UserError
from codecascade.training.checkpoints.checkpoints import Checkpoints
from codecascade.training.checkpoints.state import TrainingProgress
from codecascade.training.checksums import checksums
from codecascade.training.learner import Learner
from codecascade.training.parallel.ranks import World

ALONE = World(0, 1, torch.device("cpu"), None)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of steps 3 and 6, whose weights differ."""
    folder: Path = tmp_path_factory.mktemp("saved")
    for step in (3, 6):
        learner = Learner(tiny_model(seed=step), tiny_settings(), 20, ALONE)
        Checkpoints(folder, ALONE, {"a": 1}).save(
            TrainingProgress(step, 96 * step, 1.0, [4.0]), learner.model, learner.optimizer.adamw, {"0": step}
        )
    return folder


def largest(checkpoint: Path) -> Path:
    return max((checkpoint / "tensors").glob("*.distcp"), key=lambda path: path.stat().st_size)


def flip(path: Path, count: int = 64) -> None:
    content = bytearray(path.read_bytes())
    start = len(content) // 2
    content[start : start + count] = bytes(byte ^ 0xFF for byte in content[start : start + count])
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_key(checkpoint: Path, key: str) -> None:
    """As a person would edit it, checksum included."""
    state = json.loads((checkpoint / "state.json").read_text())
    del state[key]
    (checkpoint / "state.json").write_text(json.dumps(state))
    sums = json.loads((checkpoint / "checksums.json").read_text())
    sums |= checksums(checkpoint, ["state.json"])
    (checkpoint / "checksums.json").write_text(json.dumps(sums))


def emptied(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


def another_models_tensors(checkpoint: Path) -> None:
    """Whole by its checksums, but with tensors that this model does not have."""
    shutil.rmtree(checkpoint)
    learner = Learner(tiny_model(), tiny_settings(train="lora", lora_rank=2), 20, ALONE)
    Checkpoints(checkpoint.parent / "x", ALONE, {"a": 1}).save(
        TrainingProgress(6), learner.model, learner.optimizer.adamw, {}
    )
    (checkpoint.parent / "x" / checkpoint.name).rename(checkpoint)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def file_instead(checkpoint: Path) -> None:
    """And something else stands where the damaged one is put aside."""
    shutil.rmtree(checkpoint)
    checkpoint.write_text("x")
    (checkpoint.parent / f"damaged-{checkpoint.name}").mkdir()


def link_instead(checkpoint: Path) -> None:
    checkpoint.rename(checkpoint.parent / "x")
    checkpoint.symlink_to("x")
    (checkpoint / "state.json").write_bytes(b"")
    (checkpoint.parent / f"damaged-{checkpoint.name}").write_text("x")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "64 flipped bytes": lambda checkpoint: flip(largest(checkpoint)),
    "truncated tensors": lambda checkpoint: cut(largest(checkpoint)),
    "missing tensors": lambda checkpoint: largest(checkpoint).unlink(),
    "truncated metadata": lambda checkpoint: cut(checkpoint / "tensors" / ".metadata"),
    "flipped metadata": lambda checkpoint: flip(checkpoint / "tensors" / ".metadata", 1),
    "missing metadata": lambda checkpoint: (checkpoint / "tensors" / ".metadata").unlink(),
    "truncated state": lambda checkpoint: cut(checkpoint / "state.json"),
    "missing state": lambda checkpoint: (checkpoint / "state.json").unlink(),
    "key missing in state": lambda checkpoint: without_key(checkpoint, "losses"),
    "fingerprint missing in state": lambda checkpoint: without_key(checkpoint, "fingerprint"),
    "truncated checksums": lambda checkpoint: cut(checkpoint / "checksums.json"),
    "no checksums": lambda checkpoint: (checkpoint / "checksums.json").unlink(),
    "checksums of nothing": lambda checkpoint: (checkpoint / "checksums.json").write_text("{}"),
    "checksums that are none": lambda checkpoint: (checkpoint / "checksums.json").write_text("[1]"),
    "empty folder": emptied,
    "a folder for the state": lambda checkpoint: folder_instead(checkpoint / "state.json"),
    "a folder for the tensors": lambda checkpoint: folder_instead(largest(checkpoint)),
    "a file for the folder": file_instead,
    "a link to a damaged one": link_instead,
    "another model's": another_models_tensors,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_checkpoint_before_is_taken(
    saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    folder = shutil.copytree(saved, tmp_path / "checkpoints")
    DAMAGES[damage](folder / "step-00000006")
    learner = Learner(tiny_model(seed=0), tiny_settings(), 20, ALONE)
    with caplog.at_level(logging.WARNING):
        loaded = Checkpoints(folder, ALONE, {"a": 1}).load(learner.model, learner.optimizer.adamw)
    assert loaded == (TrainingProgress(3, 288, 1.0, [4.0]), {"0": 3})
    expected = tiny_model(seed=3).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in learner.model.state_dict().items())
    told = " ".join(record.getMessage() for record in caplog.records)
    assert "step-00000006 is damaged" in told
    assert "going on from step-00000003: 3 steps are taken again" in told
    # out of the way: the next checkpoints are the newest ones
    names = {path.name for path in folder.iterdir()} - {"x"}
    assert names == {"step-00000003", "damaged-step-00000006"}

    # none is left: a sentence with both reasons, and nothing is thrown away
    flip(largest(folder / "step-00000003"))
    with pytest.raises(
        UserError, match=r"no checkpoint that can be used \(step-00000003: .*delete this folder"
    ):
        Checkpoints(folder, ALONE, {"a": 1}).load(learner.model, learner.optimizer.adamw)
    assert (folder / "step-00000003").is_dir()


def test_another_run_s_older_checkpoint_is_refused_still(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "checkpoints")
    flip(largest(folder / "step-00000006"))
    learner = Learner(tiny_model(), tiny_settings(), 20, ALONE)
    with pytest.raises(UserError, match="a 1, now 2"):
        Checkpoints(folder, ALONE, {"a": 2}).load(learner.model, learner.optimizer.adamw)
