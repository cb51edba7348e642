"""Threads that share compiled work with the one that has it.

The work is cut into pieces, of which each thread takes the next one, so nobody has to wait until a thread has come:
those that come late find less to do, or nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

Job = tuple[Callable[..., object], tuple[Any, ...]]


class Workers:
    """Threads of this process, begun when they are first wanted."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._count, self._process = 0, 0
        self._lock = threading.Lock()

    def share(self, function: Callable[..., object], arguments: list[tuple[Any, ...]]) -> None:
        """Call ``function`` with the first of ``arguments`` here and with each other one in a thread.

        It returns when the first call does, which has to see to it that the work is done.
        """
        self._have(len(arguments) - 1)
        for others in arguments[1:]:
            self._jobs.put((function, others))
        function(*arguments[0])

    def _have(self, count: int) -> None:
        with self._lock:
            if self._process != os.getpid():
                # threads do not survive a fork
                self._jobs, self._count, self._process = SimpleQueue(), 0, os.getpid()
            while self._count < count:
                name = f"compiled-{self._count}"
                threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()
                self._count += 1


def _work(jobs: SimpleQueue[Job]) -> None:
    while True:
        function, arguments = jobs.get()
        # what fails here fails where the job comes from, too
        with suppress(Exception):
            function(*arguments)
        # until the next job, which may be long after
        del function, arguments


WORKERS = Workers()
