"""The trackers by their names. A new one is a file and a line here, and a name in ``settings.py``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.training.trackers.settings import LogSettings, TrackerName
from codecascade.training.trackers.tensorboard import start_tensorboard
from codecascade.training.trackers.tracker import SafeTracker, Tracker
from codecascade.training.trackers.trackio import start_trackio
from codecascade.training.trackers.wandb import start_wandb


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of the training of a stage.

    Attributes:
        project: the cascade's name, or what the settings say.
        name: of the stage.
        folder: the cascade's, to which local files of trackers go.
        config: settings of the training, to be shown beside the curves.
        last_step: of the checkpoint that the training resumes from; 0 for a new one.
    """

    project: str
    name: str
    folder: Path
    config: Mapping[str, Any]
    last_step: int = 0


@dataclass(frozen=True)
class _Entry:
    module: str
    start: Callable[[TrackedRun], Tracker]


TRACKERS: dict[TrackerName, _Entry] = {
    "tensorboard": _Entry(
        "tensorboard",
        lambda run: start_tensorboard(run.folder / "tensorboard" / run.name, run.last_step),
    ),
    "wandb": _Entry("wandb", lambda run: start_wandb(run.project, run.name, run.folder, run.config)),
    "trackio": _Entry("trackio", lambda run: start_trackio(run.project, run.name, run.folder, run.config)),
}


def check_trackers(settings: LogSettings) -> None:
    """See that the libraries of the trackers are installed.

    Raises:
        UserError: one is not, or a tracker is named twice.
    """
    for name in settings.to:
        if settings.to.count(name) > 1:
            raise UserError(f"names {name} twice", key="log.to")
        if importlib.util.find_spec(TRACKERS[name].module) is None:
            raise UserError(f"{name} is not installed; run: pip install 'codecascade[{name}]'", key="log.to")


def open_trackers(settings: LogSettings, run: TrackedRun) -> Sequence[SafeTracker]:
    """The trackers that the settings name, started."""
    return [SafeTracker(name, _starter(name, run)) for name in settings.to]


def _starter(name: TrackerName, run: TrackedRun) -> Callable[[], Tracker]:
    return lambda: TRACKERS[name].start(run)
