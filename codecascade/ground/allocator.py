"""Keeps the memory that is freed, for work that soon asks for as much again, such as the steps of a training.

The C library gives large blocks back to the system as soon as they are freed. A training step frees most of its
tensors, and the next one gets them again as pages that the system must first clear, some hundred thousand of them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_NEVER, _DEFAULT_MAPS = -1, 65_536
# What glibc adapts its thresholds to, at most. It stops to adapt them once they are set.
_LARGEST_MMAP_THRESHOLD = 32 << 20


@contextmanager
def kept_memory() -> Iterator[None]:
    """While it lasts, freed memory stays with the process. Afterwards it is given back.

    It has no effect without glibc, or where another allocator was loaded in its place.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _DEFAULT_MAPS)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)
        library.malloc_trim(0)


@cache
def _glibc() -> Any:
    try:
        library = ctypes.CDLL(None)
        library.mallopt.argtypes, library.mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
        library.malloc_trim.argtypes, library.malloc_trim.restype = (ctypes.c_size_t,), ctypes.c_int
    except (OSError, AttributeError, TypeError):
        # another C library; Windows has no library of the process itself
        return None
    return library
