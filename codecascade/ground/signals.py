"""Signals that stop a run: after the current step, or immediately."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from codecascade.ground.errors import Stopped

logger = logging.getLogger(__name__)


class StopRequest:
    """While the context is open, SIGTERM and SIGINT (Ctrl-C) only set ``signum``.

    Further signals change nothing: torchrun sends a second one after the terminal's, and the checkpoint must still
    be saved. Outside the main thread, where Python handles no signals, ``signum`` stays None.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
            logger.warning("%s: finishing the step, then saving", signal.Signals(signum).name)


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """While the context is open, SIGTERM and SIGINT raise :class:`Stopped`. Finished work is already on the disk.

    Raises:
        Stopped: a signal came.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
