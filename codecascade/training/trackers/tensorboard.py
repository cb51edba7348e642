"""TensorBoard: event files in a folder of the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


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
    """Continue the curves in a folder after ``last_step``: what was written of later steps is no longer shown."""
    return TensorBoard(SummaryWriter(str(folder), purge_step=last_step + 1))
