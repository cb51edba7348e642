"""Lines that tell how far a long piece of work is, where there is no terminal to draw in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from codecascade.ground.format import show_seconds

INTERVAL = 15.0
"""Seconds between two lines, also while nothing is finished."""
SINCE_FIRST = 3
"""So many items that were finished after the first ones tell how long the others take."""
ENOUGH = 0.05
"""Before that, the time that is left is said if this share is done."""
RATE_WINDOW = 600.0
"""Seconds over which a drawn bar takes its rate. In half a minute, as is usual, a large model finishes nothing."""


class ProgressLines:
    """Says a line every few seconds, from a thread of its own: the work may not come by for minutes.

    Args:
        what: the work, such as ``generating``.
        total: how many items it has; 0 if that is not known.
        say: writes a line; also called from the thread.
        in_percent: items have no unit that a reader knows.
    """

    def __init__(
        self,
        what: str,
        total: int,
        say: Callable[[str], None],
        *,
        in_percent: bool = False,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say, self._in_percent = say, in_percent
        self._interval, self._clock = interval, clock
        self._lock = threading.Lock()
        self._note, self._said = "", 0.0
        self.begin(what, total)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)

    def __enter__(self) -> ProgressLines:
        self._start = self._said = self._clock()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def begin(self, what: str, total: int = 0, done: int = 0, skipped: int = 0) -> None:
        """Another piece of work begins, of which so much was done before, ``skipped`` included."""
        with self._lock:
            self._what, self._total, self._done = what, total, done
            self._before, self._skipped = done - skipped, skipped
            self._start = self._clock()
            self._first: tuple[float, int] | None = None
            self._note = ""

    def advance(self) -> None:
        """One more item is finished."""
        with self._lock:
            self._done += 1
            self._note_first()

    def update(self, done: int, total: int, note: str = "", skipped: int = 0) -> None:
        """So many items are finished; ``note`` is said with them.

        Args:
            skipped: how many of ``done`` took no time. They count for no rate.
        """
        with self._lock:
            self._done, self._total, self._note, self._skipped = done, total, note, skipped
            self._note_first()

    @property
    def time_left(self) -> str:
        """``about 5 min left``, at the rate so far; empty if that says little yet, or nothing is left."""
        with self._lock:
            return self._left(self._clock())

    @property
    def has_rate(self) -> bool:
        """Whether anything was done since this piece of work began that took time."""
        return self._new > 0

    @property
    def _new(self) -> int:
        return self._done - self._skipped - self._before

    def _note_first(self) -> None:
        if self._first is None and self._new > 0:
            self._first = self._clock(), self._new

    def _left(self, now: float) -> str:
        """Where many items are worked on together, as in a batch, the first ones are long in coming and the others
        follow closely. So the rate is that since the first ones.
        """
        if self._first is None or self._total <= self._done:
            return ""
        at, first = self._first
        seconds, new = now - at, self._new - first
        if new < SINCE_FIRST or seconds <= 0:
            seconds, new = now - self._start, self._new
            if seconds <= 0 or new < ENOUGH * (self._total - self._before - self._skipped):
                return ""
        return f"about {show_seconds((self._total - self._done) * seconds / new)} left"

    def say(self, text: str) -> None:
        """Say something else; the next line comes a whole interval later."""
        self._said = self._clock()
        self._say(text)

    def say_if_due(self) -> None:
        """Say how far it is, if nothing was said for an interval."""
        if self._clock() - self._said >= self._interval:
            self.say(self.line())

    def line(self) -> str:
        """What is said at this moment: items, their rate, and the time that is left at this rate."""
        with self._lock:
            what, done, total, note = self._what, self._done, self._total, self._note
            now = self._clock()
            seconds, new, left = now - self._start, self._new, self._left(now)
        if total and self._in_percent:
            count = f"{done / total:.0%}"
        elif total:
            count = f"{done:,} of {total:,}"
        else:
            count = f"{done:,}" if done and not self._in_percent else ""
        text = f"{what}: {f'{count} in ' if count else ''}{show_seconds(seconds)}"
        if new > 0 and seconds > 0:
            rate = new / seconds
            if not self._in_percent:
                text += f", {rate:.1f} a second" if rate >= 1 else f", {rate * 60:.1f} a minute"
            text += f", {left}" * bool(left)
        return f"{text}, {note}" if note else text

    def _tell(self) -> None:
        wait = self._interval
        while not self._ended.wait(wait):
            self.say_if_due()
            wait = max(0.0, self._said + self._interval - self._clock())
