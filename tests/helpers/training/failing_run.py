"""A tiny run of several ranks, started by torchrun, in which one hangs or is killed by whoever watches.

``torchrun failing_run.py FOLDER``. Each rank writes its process id to ``FOLDER/pids/ATTEMPT-RANK``. What is asked for
by ``--hang`` happens only before torchrun has started the ranks again.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import torch
from tiny_run import CountingStream, tiny_settings, tiny_train

from codecascade.ground.errors import Stopped
from codecascade.training.failures.store import attempt
from codecascade.training.logs import StepReport
from codecascade.training.parallel.ranks import join_world
from codecascade.training.stream.stream import Batch

RANK = int(os.environ.get("RANK", "0"))


class HangingStream(CountingStream):
    """One rank's batch of one step never comes, or its process is stopped while it makes it."""

    def __init__(self, rank: int, step: int, how: str) -> None:
        super().__init__()
        self.rank, self.step, self.how = rank, step, how

    def batch(self, rows: range) -> Batch:
        batch = super().batch(rows)
        if self.rank == RANK and self.taken[rows[0]] == self.step and attempt() == 0:
            if self.how == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            else:
                time.sleep(3600)
        return batch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--pause", type=float, default=0.0, help="seconds after each step")
    parser.add_argument("--hang", nargs=3, metavar=("RANK", "STEP", "HOW"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING)
    pids = arguments.folder / "pids"
    pids.mkdir(parents=True, exist_ok=True)
    stream = CountingStream()
    if arguments.hang:
        rank, step, how = arguments.hang
        stream = HangingStream(int(rank), int(step), how)
    try:
        join_world()
        (pids / f"{attempt()}-{RANK}").write_text(str(os.getpid()))
        tiny_train(
            arguments.folder,
            # batches are made when they are asked for, so the step of a batch is that of the training
            tiny_settings(**{"stream_workers": 0, **arguments.settings}),
            stream=stream,
            progress=lambda report: pause(report, arguments.pause),
        )
    except Stopped as stopped:
        sys.exit(stopped.exit_code)


def pause(report: StepReport, seconds: float) -> None:
    time.sleep(seconds)


if __name__ == "__main__":
    main()
