"""How fast this machine multiplies with weights held in one way or another, timed on a model's own layers.

A table of processors would be wrong soon. Times are compared within one series whose members take turns, so that
other processes slow all of them, and the least time of each counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Layer = TypeVar("Layer")
Product = Callable[[Tensor], Tensor]
"""(B, in) to (B, out)."""

ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Rows of products that are tried."""

SAMPLE_BYTES = 64 << 20
"""As much as does not stay in a processor's caches while a model's layers take turns."""
_ROUNDS = 5
# About so long a comparison takes, and a series of them. A busy machine gets fewer rounds.
_SECONDS, _MOST_SECONDS = 0.2, 1.5


def layers_to_try(layers: Sequence[Layer], shape: Callable[[Layer], tuple[int, ...]]) -> list[Layer]:
    """Layers of the largest shape, so many that their memory has to be read each time they take turns."""
    largest = max(map(shape, layers), key=math.prod)
    alike = [layer for layer in layers if shape(layer) == largest]
    return alike[: max(1, SAMPLE_BYTES // (2 * math.prod(largest)))]


def seconds_of(ways: Sequence[Sequence[Product]], columns: int, rows: int, dtype: torch.dtype) -> list[float]:
    """The least time in which each of ``ways`` multiplies ``rows`` rows of ``columns`` with all its layers."""
    x = torch.ones(rows, columns, dtype=dtype)
    least = [float("inf")] * len(ways)
    end = time.perf_counter() + _SECONDS
    for turn in range(_ROUNDS + 1):
        for index, layers in enumerate(ways):
            start = time.perf_counter()
            for layer in layers:
                layer(x)
            # The first turn warms up.
            if turn:
                least[index] = min(least[index], time.perf_counter() - start)
        if turn and time.perf_counter() > end:
            break
    return least


def most_rows(few: Sequence[Product], many: Sequence[Product], columns: int, dtype: torch.dtype) -> int:
    """The most rows up to which ``few`` are faster than ``many``: 0 if they are slower even for one."""
    found, end = 0, time.perf_counter() + _MOST_SECONDS
    for rows in ROWS:
        of_few, of_many = seconds_of((few, many), columns, rows, dtype)
        if of_few > of_many:
            break
        found = rows
        if time.perf_counter() > end:
            break
    return found
