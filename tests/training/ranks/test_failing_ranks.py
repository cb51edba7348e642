"""Ranks under torchrun that are killed, hang, or are told that their time ends."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import failing_run
import measuring_run
import pytest
from tiny_run import losses, read_log, tiny_settings, tiny_train

pytestmark = pytest.mark.distributed

SCRIPT = Path(failing_run.__file__)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
PATIENCE = 600
"""Seconds that a run may take on a machine that is busy with other work."""


class Torchrun:
    """``torchrun`` of a script in ``folder``, which ends with the ``with`` block if not before.

    Args:
        settings: of the training of :mod:`failing_run`.
    """

    def __init__(
        self,
        folder: Path,
        ranks: int,
        options: list[str],
        *more: object,
        script: Path = SCRIPT,
        **settings: Any,
    ) -> None:
        self.folder = folder
        folder.mkdir()
        command = [*TORCHRUN, "--nproc-per-node", str(ranks), *options, str(script), str(folder)]
        command += ["--settings", json.dumps(settings), *map(str, more)] if script is SCRIPT else []
        self._errors = (folder / "stderr").open("w")
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            stdout=self._errors,
            stderr=self._errors,
        )

    def __enter__(self) -> Torchrun:
        return self

    def __exit__(self, *exception: object) -> None:
        # SIGTERM lets it end its ranks
        self.process.terminate()
        self.process.wait(PATIENCE)
        self._errors.close()

    @property
    def messages(self) -> str:
        return (self.folder / "stderr").read_text()

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def wait_for_steps(self, steps: int) -> None:
        end = time.monotonic() + PATIENCE
        while len(lines(self.folder)) < steps:
            assert self.process.poll() is None, self.messages
            assert time.monotonic() < end, self.messages
            time.sleep(0.01)

    def wait_for_ranks(self, attempt: int, ranks: int) -> None:
        end = time.monotonic() + PATIENCE
        while not all((self.folder / "pids" / f"{attempt}-{rank}").exists() for rank in range(ranks)):
            assert self.process.poll() is None, self.messages
            assert time.monotonic() < end, self.messages
            time.sleep(0.01)

    def pid(self, attempt: int, rank: int) -> int:
        return int((self.folder / "pids" / f"{attempt}-{rank}").read_text())


def lines(folder: Path) -> list[str]:
    log = folder / "log.jsonl"
    return log.read_text().splitlines() if log.exists() else []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    folder = tmp_path_factory.mktemp("whole")
    tiny_train(folder, tiny_settings())
    return losses(folder)


def check_is_whole(run: Torchrun, whole: list[float]) -> None:
    assert [row["step"] for row in read_log(run.folder)] == list(range(1, 21))
    assert losses(run.folder) == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_are_killed_at_random(tmp_path: Path, whole: list[float], ranks: int) -> None:
    """Twice, in any step or while a checkpoint is written; torchrun goes on by itself."""
    draw = random.Random(os.getpid())
    with Torchrun(tmp_path / "run", ranks, ["--max-restarts", "2"], "--pause", 0.1) as run:
        for attempt, step in enumerate(sorted(draw.sample(range(1, 15), 2))):
            # the log is cut back to the last checkpoint when the ranks start again
            run.wait_for_steps(step)
            time.sleep(draw.random() * 0.1)
            try:
                os.kill(run.pid(attempt, draw.randrange(ranks)), signal.SIGKILL)
            except ProcessLookupError:
                # the machine was so busy that the run has ended meanwhile
                break
            run.wait_for_ranks(attempt + 1, ranks)
        assert run.wait() == 0, run.messages
    check_is_whole(run, whole)


@pytest.mark.parametrize(
    ("how", "named"),
    [
        (
            "sleep",
            "rank 1 on .* is still in step 8 and reads its batch, at codecascade/training/stream/prefetch.py",
        ),
        ("stop", "rank 1 on .* does not answer"),
    ],
)
def test_a_rank_that_hangs_is_named_and_torchrun_goes_on(
    tmp_path: Path, whole: list[float], how: str, named: str
) -> None:
    options = ["--max-restarts", "1"]
    with Torchrun(tmp_path / "run", 2, options, "--hang", 1, 8, how, step_timeout=20) as run:
        assert run.wait() == 0, run.messages
    check_is_whole(run, whole)
    told = [line for line in run.messages.splitlines() if "the step has not ended after" in line]
    assert len(told) == 1, run.messages
    assert told[0].count("step 8: ") == 1
    assert re.search(named, told[0])


@pytest.mark.parametrize("way", ["handled", "ignored"])
def test_slurm_s_notice_ends_all_ranks_with_a_checkpoint(
    tmp_path: Path, whole: list[float], way: str
) -> None:
    """Slurm sends it to torchrun, too, which either hands it on or, where a shell has had it ignored, lives on.

    In the second case torchrun starts the ranks again, since they have not ended well. They end at once.
    """
    options = ["--max-restarts", "2"]
    if way == "handled":
        options += ["--signals-to-handle", "SIGTERM,SIGINT,SIGUSR1", "--shutdown-timeout", str(PATIENCE)]
    else:
        before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        run = Torchrun(tmp_path / "run", 2, options, "--pause", 0.1, checkpoint_every=1000)
    finally:
        if way == "ignored":
            signal.signal(signal.SIGUSR1, before)
    with run:
        run.wait_for_steps(3)
        for pid in (run.process.pid, run.pid(0, 0), run.pid(0, 1)):
            os.kill(pid, signal.SIGUSR1)
        assert run.wait() != 0
        done = len(lines(run.folder))
        assert 3 <= done < 20, run.messages
        assert [path.name for path in (run.folder / "checkpoints").iterdir()] == [f"step-{done:08d}"]
        assert "SIGUSR1: finishing the step, then saving" in run.messages
    tiny_train(run.folder, tiny_settings(checkpoint_every=1000, stream_workers=0))
    assert losses(run.folder) == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize(
    ("rank", "signum", "goes_on"),
    [(0, signal.SIGUSR1, False), (1, signal.SIGUSR1, False), (1, signal.SIGKILL, True)],
)
def test_a_notice_while_the_first_rank_measures_ends_the_run_and_a_crash_does_not(
    tmp_path: Path, rank: int, signum: signal.Signals, goes_on: bool
) -> None:
    """Either way torchrun ends the other rank by SIGTERM, and starts both again."""
    script = Path(measuring_run.__file__)
    with Torchrun(tmp_path / "run", 2, ["--max-restarts", "1"], script=script) as run:
        run.wait_for_ranks(0, 2)
        os.kill(run.pid(0, rank), signum)
        assert (run.wait() == 0) is goes_on, run.messages
    assert "Unable to shutdown process" not in run.messages
    assert (run.folder / "pids" / "1-0").exists() is goes_on
    assert run.messages.count("stopped; run the same command again to continue") == 1
