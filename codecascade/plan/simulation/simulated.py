"""What a simulated step says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SimulatedStep:
    """What a step takes of each rank, in bytes.

    Attributes:
        peak: at the moment of the peak, by kind.
        between: in use between two steps.
        sent: bytes that a rank sends in a step, by the dimension of the mesh.
    """

    peak: Mapping[str, int]
    between: int
    sent: Mapping[str, float]

    @property
    def total(self) -> int:
        return sum(self.peak.values())
