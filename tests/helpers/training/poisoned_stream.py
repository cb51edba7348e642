"""A stream with one batch that is not like the others."""

from __future__ import annotations

import torch
from tiny_run import CountingStream

from codecascade.training.stream.stream import Batch


class Poisoned(CountingStream):
    """Its batch number ``step`` has a weight of ``weight``, or random tokens where that is None."""

    def __init__(self, step: int, weight: float | None) -> None:
        super().__init__()
        self.step, self.weight = step, weight

    def batch(self, rows: range) -> Batch:
        batch = super().batch(rows)
        if self.taken[rows[0]] == self.step:
            if self.weight is not None:
                batch.weights[0, 0] = self.weight
            else:
                batch.tokens.random_(generator=torch.Generator().manual_seed(0)).remainder_(96)
        return batch
