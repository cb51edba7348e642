"""The loop as processes: killed, stopped by signals, and as two ranks."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import tiny_run
from tiny_run import losses, read_log, tiny_settings, tiny_train
from warm_process import WarmProcess, WarmRanks

from codecascade.ground.errors import Stopped
from codecascade.ground.signals import StopRequest
from codecascade.training.logs import StepReport

SCRIPT = Path(tiny_run.__file__)
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def start(folder: Path, *options: object, **settings: Any) -> WarmProcess:
    arguments = [folder, "--settings", json.dumps(settings), *options]
    return WarmProcess(SCRIPT, arguments, folder / "streams", ENVIRONMENT)


def wait_for_step(process: WarmProcess, folder: Path, step: int) -> None:
    while len(read_whole_lines(folder)) < step:
        assert process.poll() is None, "the run ended by itself"
        time.sleep(0.002)


def read_whole_lines(folder: Path) -> list[str]:
    log = folder / "log.jsonl"
    return (
        [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if log.exists()
        else []
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("whole")
    tiny_train(folder, tiny_settings())
    return folder


def test_killed_at_any_step_and_resumed_it_gives_the_same_losses(tmp_path: Path, whole: Path) -> None:
    draw = random.Random(os.getpid())
    for step in sorted(draw.sample(range(1, 20), 2)):
        # It stays when it is done, which on a busy machine may be before it is killed.
        with start(tmp_path, "--pause", 0.01, "--stay") as process:
            wait_for_step(process, tmp_path, step)
            # Anywhere in a step, or in a checkpoint.
            time.sleep(draw.random() * 0.03)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
    tiny_train(tmp_path, tiny_settings())
    assert losses(tmp_path) == losses(whole)
    assert [row["step"] for row in read_log(tmp_path)] == list(range(1, 21))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_ends_the_run_with_a_checkpoint(tmp_path: Path, whole: Path, signum: signal.Signals) -> None:
    with start(tmp_path, "--pause", 0.5, checkpoint_every=1000) as process:
        wait_for_step(process, tmp_path, 2)
        process.send_signal(signum)
        # An impatient second one changes nothing.
        process.send_signal(signum)
        assert process.wait() == 128 + signum, process.stderr
    done = len(read_log(tmp_path))
    assert 2 <= done < 20
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [f"step-{done:08d}"]
    settings = tiny_settings(checkpoint_every=1000)
    tiny_train(tmp_path, settings)
    assert losses(tmp_path) == losses(whole)


def test_a_signal_in_the_last_step_is_not_lost(tmp_path: Path) -> None:
    def progress(report: StepReport) -> None:
        if report.step == 3:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped):
        tiny_train(tmp_path, tiny_settings(steps=3), progress=progress)
    with StopRequest() as stop:
        assert tiny_train(tmp_path / "b", tiny_settings(steps=3), progress=progress, stop=stop).steps == 3
    assert stop.signum == signal.SIGTERM


def test_two_ranks_give_the_losses_of_one(tmp_path: Path, whole: Path) -> None:
    """And one rank goes on where two were stopped, by a signal that only one of them got."""
    arguments = [tmp_path, "--settings", "{}", "--terminate-at", 12]
    with WarmRanks(2, SCRIPT, arguments, tmp_path / "streams", ENVIRONMENT) as two:
        assert two.wait() == [128 + signal.SIGTERM] * 2, two.messages
    assert len(losses(tmp_path)) == 13
    tiny_train(tmp_path, tiny_settings())
    assert losses(tmp_path) == pytest.approx(losses(whole), abs=1e-4)
