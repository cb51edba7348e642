"""``[log]``: which trackers draw the curves of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from codecascade.ground.settings import Settings

TrackerName = Literal["tensorboard", "wandb", "trackio"]


class LogSettings(Settings):
    """Where the figures of each step go, besides ``logs/STAGE.jsonl``, which is always written."""

    to: tuple[TrackerName, ...] = Field(
        ("tensorboard",), description="tensorboard, wandb, trackio; an empty list writes the JSON lines alone"
    )
    project: str | None = Field(
        None, description="of wandb and trackio, in which each stage is a run; default: the recipe's name"
    )
