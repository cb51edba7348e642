"""Kill it, stop it, share it out: the cascade goes on, with the same losses."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from warm_process import CODECASCADE, WarmProcess

from codecascade.cascade.run import run_cascade
from codecascade.ground.errors import Stopped
from codecascade.ground.signals import stopped_at_once
from codecascade.model.folder import load_folder
from codecascade.recipe import make_recipe, read_recipe, write_recipe


@pytest.fixture
def recipe_file(data: dict[str, Any], tmp_path: Path) -> Path:
    code, python, *_ = data["stage"]
    data["stage"] = [code | {"steps": 60, "checkpoint_every": 4, "precision": "fp32"}, python]
    write_recipe(make_recipe(data), tmp_path / "small.toml")
    return tmp_path / "small.toml"


def losses(log: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows]


def stop_after(lines: int, signum: int, recipe_file: Path, folder: Path) -> WarmProcess:
    """Run the recipe until its first log has so many lines, then send the signal; gives the ended process."""
    log = folder / "logs" / "code.jsonl"
    arguments = ["run", recipe_file, "-o", folder]
    streams = folder.parent / "streams"
    with WarmProcess(CODECASCADE, arguments, streams, {"CUDA_VISIBLE_DEVICES": ""}) as process:
        while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < lines):
            time.sleep(0.005)
        process.send_signal(signum)
        process.wait()
    return process


def test_killed_and_stopped_runs_go_on(recipe_file: Path, tmp_path: Path) -> None:
    run_cascade(read_recipe(recipe_file), tmp_path / "whole")
    folder = tmp_path / "stopped"

    killed = stop_after(7, signal.SIGKILL, recipe_file, folder)
    assert killed.wait() == -signal.SIGKILL, killed.stderr
    assert not (folder / "models").exists()

    stopped = stop_after(20, signal.SIGTERM, recipe_file, folder)
    assert stopped.wait() == 143, stopped.stderr
    assert "run the same command again to continue" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert stopped.stdout == ""
    done = len(losses(folder / "logs" / "code.jsonl"))
    assert 20 <= done < 60

    assert run_cascade(read_recipe(recipe_file), folder)
    for stage in ("code", "python"):
        assert losses(folder / "logs" / f"{stage}.jsonl") == losses(
            tmp_path / "whole" / "logs" / f"{stage}.jsonl"
        )
    ours, theirs = (
        load_folder(run / "models" / "python").model.state_dict() for run in (folder, tmp_path / "whole")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_a_signal_between_two_trainings(signum: signal.Signals, code: int) -> None:
    before = signal.getsignal(signum)
    with pytest.raises(Stopped) as caught, stopped_at_once():
        signal.raise_signal(signum)
    assert caught.value.exit_code == code
    assert signal.getsignal(signum) is before
