"""Ranks of which the first works alone, as when it measures, and the others wait for it.

``torchrun measuring_run.py FOLDER``. Each rank writes its process id to ``FOLDER/pids/ATTEMPT-RANK`` when it begins.
The work has no end before torchrun has started the ranks again, and ends at once then.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch

from codecascade import cli
from codecascade.training.failures.store import attempt
from codecascade.training.parallel.ranks import join_world


def command(arguments: list[str]) -> None:
    world = join_world()
    pids = Path(arguments[0], "pids")
    pids.mkdir(parents=True, exist_ok=True)
    written = pids / f".{attempt()}-{world.rank}"
    written.write_text(str(os.getpid()))
    written.rename(pids / written.name[1:])
    world.from_first(measure)


def measure() -> None:
    while attempt() == 0:
        time.sleep(1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    cli.app = lambda args: command(args)  # type: ignore[assignment]
    cli.main(sys.argv[1:])
