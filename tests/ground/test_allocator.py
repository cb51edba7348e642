"""Memory that is kept for the next step, and given back afterwards."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from codecascade.ground import allocator
from codecascade.ground.allocator import kept_memory

FAULTS = """
import resource, sys
from codecascade.ground.allocator import kept_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        blocks = [bytearray(b"x") * (40 << 20) for _ in range(2)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
plain, start = faults(), resident()
with kept_memory():
    faults()
    kept, inside = faults(), resident()
print(plain, kept, start, inside, resident())
"""


@pytest.mark.skipif(allocator._glibc() is None, reason="this system has no glibc")
def test_freed_memory_is_used_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=300
    )
    plain, kept, start, inside, end = map(int, done.stdout.split())
    # ten blocks of 40 MiB
    pages = 10 * (40 << 20) // resource.getpagesize()
    assert plain >= pages / 2 and kept < pages / 20
    assert inside - start > 60 << 20 and end - start < 30 << 20


def test_no_effect_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_glibc", lambda: None)
    with kept_memory():
        pass


def test_it_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        calls: list[tuple[int, int]] = []  # noqa: RUF012

        def mallopt(self, name: int, value: int) -> int:
            self.calls.append((name, value))
            return 1

        def malloc_trim(self, _: int) -> int:
            return 1

    monkeypatch.setattr(allocator, "_glibc", Library)
    with pytest.raises(ValueError, match="stop"), kept_memory():
        raise ValueError("stop")
    last = dict(Library.calls)
    assert last[allocator._MMAP_MAX] > 0 and last[allocator._TRIM_THRESHOLD] > 0
