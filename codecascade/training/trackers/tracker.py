"""What a tracker is, and how a training run is kept from it: nothing that a tracker does slows or ends a run."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

logger = logging.getLogger(__name__)

_MOST_WAITING = 10_000
"""Steps that wait for a slow tracker; more are left out."""
CLOSE_SECONDS = 60.0
"""Until a tracker must have sent what is left, at the end of a stage."""


class Tracker(Protocol):
    """Keeps the figures of a run, step by step."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Figures by their names, such as ``training/loss``. A resumed run may write a step again, with the same
        figures."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class SafeTracker:
    """A tracker in a thread of its own. If it fails, that is a warning; the training goes on without it.

    Args:
        name: for messages.
        start: makes the tracker. It is called in the thread, because this may ask a server.
        close_seconds: see :data:`CLOSE_SECONDS`.
    """

    def __init__(
        self, name: str, start: Callable[[], Tracker], *, close_seconds: float = CLOSE_SECONDS
    ) -> None:
        self._name, self._start, self._close_seconds = name, start, close_seconds
        self._waiting: queue.Queue[tuple[int, Mapping[str, float]]] = queue.Queue(_MOST_WAITING)
        self._ended, self._failed = threading.Event(), False
        self._left_out = 0
        self._thread = threading.Thread(target=self._run, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Returns at once; see :meth:`Tracker.write`."""
        if self._failed:
            return
        try:
            self._waiting.put_nowait((step, values))
        except queue.Full:
            self._left_out += 1
            if self._left_out == 1:
                logger.warning(
                    "%s is slower than the training; it gets no more steps until it has room", self._name
                )

    def close(self) -> None:
        """Wait until it has got everything, but not for ever."""
        self._ended.set()
        self._thread.join(self._close_seconds)
        if self._thread.is_alive():
            logger.warning(
                "%s has not got everything within %.0f s; the run goes on", self._name, self._close_seconds
            )
        if self._left_out:
            logger.warning("%s: %d steps were left out, because it was too slow", self._name, self._left_out)

    def _run(self) -> None:
        try:
            tracker = self._start()
            try:
                while (item := self._next()) is not None:
                    tracker.write(*item)
            finally:
                tracker.close()
        # Whatever the libraries raise, SystemExit too.
        except BaseException as error:
            self._failed = True
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            logger.warning("%s fails (%s); the training goes on without it", self._name, reason)

    def _next(self) -> tuple[int, Mapping[str, float]] | None:
        while True:
            try:
                return self._waiting.get(timeout=0.2)
            except queue.Empty:
                if self._ended.is_set():
                    return None
