"""A tiny run of several ranks, of which the first dies after step 7 and is started again by torchrun.

``torchrun --max-restarts 1 restarted_run.py FOLDER``. The newest checkpoint is damaged before the second start. Each
rank writes the names of the threads that it still has when its interpreter ends to ``FOLDER/threads-RANK``.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import time
from pathlib import Path

import torch
from tiny_run import tiny_settings, tiny_train

from codecascade.training.logs import StepReport
from codecascade.training.parallel.ranks import join_world

ATTEMPT = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def die(report: StepReport) -> None:
    if report.step == 7 and ATTEMPT == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def write_threads(folder: Path) -> None:
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    (folder / f"threads-{os.environ['RANK']}").write_text("".join(names))


def main() -> None:
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING)
    folder = Path(sys.argv[1])
    # before the group is joined: what is registered first is called last
    atexit.register(write_threads, folder)
    if ATTEMPT == 1 and os.environ["RANK"] == "0":
        newest = max((folder / "checkpoints").glob("step-*"))
        (newest / "tensors" / "__1_0.distcp").write_bytes(b"torn")
    if ATTEMPT == 1 and os.environ["RANK"] == "1":
        time.sleep(2)  # so that the first rank looks for its address before it has a new one
    join_world()
    tiny_train(folder, tiny_settings(steps=9, async_checkpoints=False), progress=die)


if __name__ == "__main__":
    main()
