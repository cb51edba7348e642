"""Weights & Biases. Its own variables say where it writes and as whom (``WANDB_API_KEY``, ``WANDB_MODE=offline``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codecascade.training.trackers.identity import run_id


class Wandb:
    """See :class:`~codecascade.training.trackers.tracker.Tracker`."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def write(self, step: int, values: Mapping[str, float]) -> None:
        # Its own count of steps can't go back, as that of a resumed training does.
        self._run.log({"step": step, **values})

    def close(self) -> None:
        self._run.finish()


def start_wandb(project: str, name: str, folder: Path, config: Mapping[str, Any]) -> Wandb:
    """Start a run, or continue the one that this folder's training has begun.

    Args:
        folder: the cascade's; gets wandb's files, and a file with the run's id.
    """
    import wandb

    run = wandb.init(
        project=project,
        name=name,
        group=folder.resolve().name,
        id=run_id(folder, name, "wandb"),
        resume="allow",
        config=dict(config),
        dir=str(folder),
    )
    run.define_metric("step", hidden=True)
    run.define_metric("*", step_metric="step")
    return Wandb(run)
