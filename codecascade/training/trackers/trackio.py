"""Trackio, which keeps runs in a local database (``TRACKIO_DIR``) or in a space on the hub (``TRACKIO_SPACE_ID``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codecascade.training.trackers.identity import run_id


class Trackio:
    """See :class:`~codecascade.training.trackers.tracker.Tracker`."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


def start_trackio(project: str, name: str, folder: Path, config: Mapping[str, Any]) -> Trackio:
    """Start a run, or continue the one that this folder's training has begun.

    Trackio knows runs by their names. So the name has an id in it, and another folder's run of the same recipe has
    another name.

    Args:
        folder: the cascade's; gets a file with the id.
    """
    import trackio

    run = trackio.init(
        project=project,
        name=f"{name}-{run_id(folder, name, 'trackio')}",
        resume="allow",
        config=dict(config),
        auto_log_gpu=False,
        embed=False,
    )
    return Trackio(run)
