"""Measures from outside how long a program has waited for a core: a busy machine's time, and not the program's."""

from __future__ import annotations

import os

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class WaitingTime:
    """Counts the time in which one program waited for a core; create it just before the first look.

    The kernel counts it for each thread. Threads that wait at the same time must not count twice, or a program could
    make itself time. So what a thread waits is only put behind what the program had waited by a moment at which this
    thread did not wait: when it was new, or was asleep. The sum is then made of spans that do not overlap, and is
    never more than the time that has passed.
    """

    def __init__(self) -> None:
        # Nanoseconds.
        self._waited = 0
        # Of each thread at the last look: what the program had waited before it, and what it has waited itself.
        self._threads: dict[int, tuple[int, int]] = {}

    def look(self, processes: Iterable[int]) -> float:
        """Seconds of waiting so far; 0 where the kernel does not count them (no ``schedstat`` in ``/proc``).

        Args:
            processes: all processes of the program.
        """
        before = self._waited
        seen: dict[int, tuple[int, int]] = {}
        for process in processes:
            for thread in _threads(process):
                # In this order: what a thread waited before it fell asleep is in what is read after that.
                wants_core = _wants_core(thread)
                own = _delay(thread)
                behind, last = self._threads.get(thread, (before, 0))
                if own < last:
                    # Another thread that got the same number.
                    behind = before
                if not wants_core:
                    behind = max(behind, self._waited - own)
                self._waited = max(self._waited, behind + own)
                seen[thread] = behind, own
        self._threads = seen
        return self._waited / 1e9


def _threads(process: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{process}/task")]
    except OSError:
        # The process has ended.
        return []


def _wants_core(thread: int) -> bool:
    """Whether a thread runs or waits for a core."""
    return _read(f"/proc/{thread}/stat").rpartition(b")")[2].split()[:1] == [b"R"]


def _delay(thread: int) -> int:
    """Nanoseconds that a thread has waited for a core, up to when it last got one."""
    words = _read(f"/proc/{thread}/schedstat").split()
    return int(words[1]) if len(words) > 1 else 0


def _read(path: str) -> bytes:
    """The content of a small file; empty if the thread has ended, or the kernel has no such file."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(2048)
    except OSError:
        return b""
