"""The base of every package's typed settings."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

_MOST = 2**63 - 1
"""TOML's integers have 64 bits; so do torch's, which seeds and sizes end up in."""


class Settings(BaseModel):
    """Immutable settings. Unknown keys are refused (a misspelt key must never be ignored), infinities and NaN too."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _has_64_bits(cls, value: Any) -> Any:
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and abs(number) > _MOST:
                raise ValueError("must be an integer of at most 64 bits, 9.2e18")
        return value
