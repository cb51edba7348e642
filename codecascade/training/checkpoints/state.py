"""What a checkpoint has beside its tensors: how far the run is, and the checksums of all files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import read_json

STATE, SUMS, TENSORS = "state.json", "checksums.json", "tensors"
METADATA = f"{TENSORS}/.metadata"
"""Written by the first rank: which file has which part of which tensor."""


@dataclass
class TrainingProgress:
    """How far a run is.

    Attributes:
        seconds: of training, without pauses.
        losses: the last ones, for the detection of spikes.
        skipped: the steps whose update was left out (``skip_spikes``).
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    skipped: int = 0


class State(BaseModel):
    """``state.json``."""

    model_config = ConfigDict(strict=True)

    step: int = Field(ge=0)
    tokens: int = Field(ge=0)
    seconds: float = Field(ge=0)
    losses: list[float]
    skipped: int = Field(0, ge=0)
    stream: dict[str, Any]
    fingerprint: dict[str, Any]

    @property
    def progress(self) -> TrainingProgress:
        return TrainingProgress(self.step, self.tokens, self.seconds, self.losses, self.skipped)


def read_sums(checkpoint: Path) -> tuple[dict[str, Any], str | None]:
    """The content of a checkpoint's ``checksums.json``, or what is wrong with it."""
    try:
        found = read_json(checkpoint / SUMS)
    except (UserError, OSError, RecursionError) as error:
        return {}, f"{SUMS} {error.message if isinstance(error, UserError) else error}"
    needed = {STATE, METADATA}
    if not isinstance(found, dict) or not needed <= found.keys():
        return {}, f"{SUMS} does not name {' and '.join(sorted(needed))}"
    return found, None


def read_state(checkpoint: Path) -> tuple[State | None, str | None]:
    """The content of a checkpoint's ``state.json``, or what is wrong with it."""
    try:
        state = State.model_validate(read_json(checkpoint / STATE))
    except ValidationError as error:
        first = error.errors()[0]
        return None, f"{STATE}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (UserError, OSError, RecursionError) as error:
        return None, f"{STATE} {error.message if isinstance(error, UserError) else error}"
    if checkpoint.name != f"step-{state.step:08d}":
        return None, f"{STATE} is of step {state.step}"
    return state, None
