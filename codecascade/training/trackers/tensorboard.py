"""TensorBoard: event files in a folder of the run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

_LONGEST_WAIT = 1.5  # seconds; the names of event files count in whole ones


class TensorBoard:
    """See :class:`~codecascade.training.trackers.tracker.Tracker`."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


def start_tensorboard(folder: Path, last_step: int) -> TensorBoard:
    """Continue the curves in a folder after ``last_step``: what was written of later steps is no longer shown.

    TensorBoard reads the files of a folder in the order of their names, and a name begins with the second
    in which its file was made. What follows in that second is a process number without leading zeros, so a
    run that goes on within the second of its last start waits for the next one: its file would be read first.
    """
    _wait_for_a_later_name(folder)
    return TensorBoard(SummaryWriter(str(folder), purge_step=last_step + 1))


def _wait_for_a_later_name(folder: Path) -> None:
    """Sleep until a file made now is read after those that stand there, unless a clock was put back by more."""
    seconds = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*")]
    newest = max((int(second) for second in seconds if second.isdecimal()), default=0)
    wait = newest + 1 - time.time()
    if 0 < wait <= _LONGEST_WAIT:
        time.sleep(wait)
