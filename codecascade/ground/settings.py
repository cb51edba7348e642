"""The base of every package's typed settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Immutable settings that refuse unknown keys: a misspelt key must never be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
