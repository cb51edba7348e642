"""The base of every package's typed settings."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

_MOST = 2**63 - 1
"""TOML integers have 64 bits, and so do the torch integers that seeds and sizes end up in."""

LARGEST_SHARE = 1e9
"""Of a source among others. It says any proportion, and the sum of many such shares is a number."""


class Settings(BaseModel):
    """Immutable settings. Unknown keys are refused, because a misspelt key must not be ignored; so are inf and
    NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _has_64_bits(cls, value: Any) -> Any:
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and abs(number) > _MOST:
                raise ValueError("must be an integer of at most 64 bits, 9.2e18")
        return value
