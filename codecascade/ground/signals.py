"""Signals that stop a run: after the current step, or immediately.

SIGUSR1 is one of them: Slurm sends it some time before it ends a job (``--signal=USR1@300``).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from codecascade.ground.errors import Stopped

logger = logging.getLogger(__name__)

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_SOON = 0.05
"""Seconds until a signal that was lost in a destructor comes again."""


class StopRequest:
    """While the context is open, SIGTERM, SIGINT (Ctrl-C) and SIGUSR1 only set ``signum``.

    Further signals change nothing: torchrun sends a second one after the terminal's, and the checkpoint must still
    be saved. Whoever opens it looks at ``signum`` before it ends, and stops then. Outside the main thread, where
    Python handles no signals, ``signum`` stays None.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
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
    """While the context is open, SIGTERM, SIGINT and SIGUSR1 raise :class:`Stopped`.

    Finished work is already on the disk. Signals that :func:`hold` has kept waiting come now.

    Raises:
        Stopped: a signal came.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum)

    with _handled_by(stop), _sent_again():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        yield


@contextmanager
def _sent_again() -> Iterator[None]:
    """While the context is open, a signal that meets a destructor or the callback of a weak reference comes again.

    Python prints what is raised there and goes on, as if no signal had come.
    """
    waiting: list[tuple[int, threading.Timer]] = []
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        if not isinstance(error, Stopped):
            before(unraisable)
            return
        timer = threading.Timer(_SOON, os.kill, (os.getpid(), error.signum))
        timer.daemon = True
        waiting.append((error.signum, timer))
        timer.start()

    sys.unraisablehook = hook
    try:
        yield
        for signum, timer in waiting:
            if timer.is_alive():
                raise Stopped(signum)
    finally:
        sys.unraisablehook = before
        for _, timer in waiting:
            timer.cancel()


@contextmanager
def ignored() -> Iterator[None]:
    """While the context is open, SIGTERM, SIGINT and SIGUSR1 change nothing, because one of them has come already."""
    with _handled_by(signal.SIG_IGN):
        yield


def is_torchrun() -> bool:
    """Whether torchrun has started this process, which starts ranks again whatever signal has ended them."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def hold() -> None:
    """Have SIGTERM, SIGINT and SIGUSR1 wait until :func:`stopped_at_once`, which must follow soon."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


@contextmanager
def _handled_by(handler: Any) -> Iterator[None]:
    """Only the main thread can say what signals do; in another one nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in STOPPING}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
