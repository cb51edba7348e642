"""Trackio, which keeps runs in a local database (``TRACKIO_DIR``) or in a space on the hub (``TRACKIO_SPACE_ID``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Trackio:
    """See :class:`~codecascade.training.trackers.tracker.Tracker`."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


def start_trackio(project: str, name: str, config: Mapping[str, Any]) -> Trackio:
    """Start a run, or continue the one of this name in this project."""
    import trackio

    run = trackio.init(
        project=project, name=name, resume="allow", config=dict(config), auto_log_gpu=False, embed=False
    )
    return Trackio(run)
