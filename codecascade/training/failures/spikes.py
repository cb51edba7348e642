"""Spikes of the loss: which steps have one, and which are left out (``skip_spikes``)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from codecascade.ground.errors import RunFailed

REMEMBERED_LOSSES = 64
"""The number of last losses that a spike is compared with."""
_FEWEST = 16
"""With fewer losses before it, none is called a spike."""
MOST_IN_A_ROW = 10
"""So many steps may be left out one after another. More are no spike: the loss is not what it was before."""


def is_spike(loss: float, before: Sequence[float]) -> bool:
    """Whether ``loss`` is above the median of ``before`` by over 6 robust standard deviations and over 10 %."""
    if len(before) < _FEWEST:
        return False
    median = statistics.median(before)
    deviation = 1.4826 * statistics.median(abs(value - median) for value in before)
    return loss > median + max(6 * deviation, 0.1 * median)


class SpikeFilter:
    """Decides, before the weights change, whether a step is left out."""

    def __init__(self) -> None:
        self.in_a_row = 0

    def reason(self, loss: float, grad_norm: float, before: Sequence[float]) -> str | None:
        """Why a step with this loss and norm of its gradient is to be left out; None if it is to be taken.

        Args:
            before: the last losses of steps that were taken.

        Raises:
            RunFailed: more than :data:`MOST_IN_A_ROW` steps one after another are to be left out.
        """
        reason: str | None = None
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            reason = f"the loss is {loss} and the norm of its gradient {grad_norm}"
        elif is_spike(loss, before):
            reason = f"loss {loss:.3f} is a spike (the median before is {statistics.median(before):.3f})"
        self.in_a_row = 0 if reason is None else self.in_a_row + 1
        if self.in_a_row > MOST_IN_A_ROW:
            raise RunFailed(
                f"{self.in_a_row} steps in a row would be left out, the last because {reason}. That is no spike: "
                "lower the learning rate, look at the documents of the steps in the log, or turn skip_spikes off"
            )
        return reason
