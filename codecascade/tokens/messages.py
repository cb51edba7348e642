"""One turn of a dialogue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """One turn of a dialogue; ``role`` is "system", "user" or "assistant"."""

    role: str
    content: str
