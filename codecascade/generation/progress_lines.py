"""Lines that tell how far a long piece of work is, where there is no terminal to draw in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from codecascade.ground.format import show_seconds

INTERVAL = 15.0
"""Seconds between two lines, also while nothing is finished."""


class ProgressLines:
    """Says a line every few seconds, from a thread of its own: the work may not come by for minutes.

    Args:
        what: the work, such as ``generating``.
        total: how many items it has.
        say: writes a line; called from the thread.
    """

    def __init__(
        self,
        what: str,
        total: int,
        say: Callable[[str], None],
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._total, self._say = what, total, say
        self._interval, self._clock = interval, clock
        self._done = 0
        self._start = clock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)

    def __enter__(self) -> ProgressLines:
        self._start = self._clock()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def advance(self) -> None:
        """One more item is finished."""
        self._done += 1

    def line(self) -> str:
        """What is said at this moment: items, their rate, and the time that is left at this rate."""
        seconds = self._clock() - self._start
        text = f"{self._what}: {self._done:,} of {self._total:,} in {show_seconds(seconds)}"
        if not self._done or seconds <= 0:
            return text
        rate = self._done / seconds
        shown = f"{rate:.1f} a second" if rate >= 1 else f"{rate * 60:.1f} a minute"
        return f"{text}, {shown}, about {show_seconds((self._total - self._done) / rate)} left"

    def _tell(self) -> None:
        while not self._ended.wait(self._interval):
            self._say(self.line())
