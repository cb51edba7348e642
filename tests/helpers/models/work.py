"""How the work of a function grows with the size of its input, measured so that any machine gives the same answer."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

Input = TypeVar("Input", str, bytes)

FACTOR = 4
_MOST_GROWTH = 2.5 * FACTOR
"""Linear work grows by 4 and quadratic work by 16; between them is room for caches and for noise."""
_TOO_SHORT = 0.02
"""CPU seconds; whatever takes less at the larger size is not quadratic at these sizes."""


def grows_linearly(run: Callable[[Input], object], make: Callable[[int], Input], size: int = 30_000) -> bool:
    """Whether the CPU time of a function grows no faster than its input, from about ``size`` to four times as much.

    Args:
        make: gives a text of a length; the text may be a little shorter.

    CPU time of this thread is compared with itself, never with a clock, and a slow machine slows both sizes down. One
    whose processors are shared adds to it at times, so the fastest of several small texts counts. Garbage is not
    collected meanwhile: that takes as long as what other tests of the process have left, and larger texts cause it.
    """
    # Other sizes at each time, so that no cache knows a text.
    for more in range(0, 9, 3):
        seconds = _cpu_seconds(run, make(FACTOR * (size + more)))
        if seconds < _TOO_SHORT or seconds < _MOST_GROWTH * min(
            _cpu_seconds(run, make(size + more + further)) for further in range(3)
        ):
            return True
    return False


def _cpu_seconds(run: Callable[[Input], object], text: Input) -> float:
    collects = gc.isenabled()
    gc.disable()
    try:
        began = time.thread_time()
        run(text)
        return time.thread_time() - began
    finally:
        if collects:
            gc.enable()
