"""Kill it, stop it, share it out: the cascade goes on, with the same losses."""

from __future__ import annotations

import io
import json
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

import ended_cascade
import pytest
import torch
from warm_process import WarmProcess

from codecascade.cascade.display import RunDisplay
from codecascade.cascade.run import run_cascade
from codecascade.corpus.reading.faults import file_errors
from codecascade.ground.errors import Stopped
from codecascade.ground.signals import stopped_at_once
from codecascade.model.folder import load_folder
from codecascade.recipe import make_recipe, read_recipe, write_recipe
from codecascade.tokens.tokenizer import library_error

SCRIPT = Path(ended_cascade.__file__)


@pytest.fixture
def recipe_file(data: dict[str, Any], tmp_path: Path) -> Path:
    code, python, *_ = data["stage"]
    data["stage"] = [code | {"steps": 16, "checkpoint_every": 4, "precision": "fp32"}, python]
    write_recipe(make_recipe(data), tmp_path / "small.toml")
    return tmp_path / "small.toml"


def losses(log: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows]


def ended_behind(step: int, signum: int, recipe_file: Path, folder: Path) -> WarmProcess:
    """Run the recipe until the signal behind this step; gives the ended process."""
    streams = folder.parent / "streams"
    arguments = [recipe_file, folder, step, int(signum)]
    with WarmProcess(SCRIPT, arguments, streams, {"CUDA_VISIBLE_DEVICES": ""}) as process:
        process.wait()
    return process


def test_killed_and_stopped_runs_go_on(recipe_file: Path, tmp_path: Path) -> None:
    run_cascade(read_recipe(recipe_file), tmp_path / "whole")
    folder = tmp_path / "stopped"

    # behind a checkpoint and another step
    killed = ended_behind(5, signal.SIGKILL, recipe_file, folder)
    assert killed.wait() == -signal.SIGKILL, killed.stderr
    assert not (folder / "models").exists()

    stopped = ended_behind(10, signal.SIGTERM, recipe_file, folder)
    assert stopped.wait() == 143, stopped.stderr
    assert "run the same command again to continue" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert stopped.stdout == ""
    done = len(losses(folder / "logs" / "code.jsonl"))
    assert 10 <= done < 16

    assert run_cascade(read_recipe(recipe_file), folder)
    for stage in ("code", "python"):
        assert losses(folder / "logs" / f"{stage}.jsonl") == losses(
            tmp_path / "whole" / "logs" / f"{stage}.jsonl"
        )
    ours, theirs = (
        load_folder(run / "models" / "python").model.state_dict() for run in (folder, tmp_path / "whole")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_signal_in_the_last_step_of_a_stage_ends_the_run_behind_its_model(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, python, *_ = data["stage"]
    recipe = make_recipe({**data, "stage": [code | {"steps": 2}, python]})
    folder = tmp_path / "run"
    with monkeypatch.context() as patched, pytest.raises(Stopped) as caught:
        patched.setattr(RunDisplay, "training", RunDisplay.training)
        ended_cascade.end_behind(2, signal.SIGTERM)
        run_cascade(recipe, folder)
    assert caught.value.exit_code == 143
    assert [path.name for path in (folder / "models").iterdir()] == ["code"]
    assert not (folder / "checkpoints" / "code").exists()
    assert not (folder / "logs" / "python.jsonl").exists()
    assert run_cascade(recipe, folder)
    assert len(losses(folder / "logs" / "code.jsonl")) == 2


def test_checkpoints_that_a_killed_run_left_of_a_trained_stage_are_removed(
    data: dict[str, Any], tmp_path: Path
) -> None:
    recipe = make_recipe({**data, "stage": [data["stage"][0] | {"steps": 1}]})
    folder = tmp_path / "run"
    left = folder / "checkpoints" / "code" / "step-00000001"
    for nothing_to_do in (False, True):
        assert run_cascade(recipe, folder) is not nothing_to_do
        assert not left.exists()
        left.mkdir(parents=True)
    (folder / "report.html").unlink()
    assert run_cascade(recipe, folder)
    assert not left.exists()


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_a_signal_between_two_trainings(signum: signal.Signals, code: int) -> None:
    before = signal.getsignal(signum)
    with pytest.raises(Stopped) as caught, stopped_at_once():
        signal.raise_signal(signum)
    assert caught.value.exit_code == code
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize("again", [False, True])
def test_a_signal_is_not_lost_within_a_destructor(again: bool) -> None:
    """Python prints what is raised there and goes on; so also where the work ends before the signal comes again."""
    before = sys.unraisablehook

    class Ended:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped) as caught, stopped_at_once():
        ended = Ended()
        del ended
        if again:
            time.sleep(10)
            raise AssertionError("the signal was lost")
    assert caught.value.signum == signal.SIGTERM
    assert sys.unraisablehook is before


def test_a_signal_is_not_lost_within_a_library() -> None:
    """A handler of logging catches each Exception of what it writes to, and so does our reading of a tokenizer."""

    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            signal.raise_signal(signal.SIGINT)
            return len(text)

    handler = logging.StreamHandler(Interrupted())
    with pytest.raises(Stopped), stopped_at_once():
        handler.handle(logging.makeLogRecord({"msg": "measuring"}))
    with pytest.raises(Stopped), stopped_at_once(), file_errors("a.py"):
        signal.raise_signal(signal.SIGTERM)
    stopped = Stopped(signal.SIGTERM)
    assert library_error(stopped, "is not a tokenizer that can be read") is stopped
