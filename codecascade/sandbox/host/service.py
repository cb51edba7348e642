"""A confined command that stays: a compiler that is warm after its first use."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any, BinaryIO

from codecascade.sandbox.host.worker import Confinement, SandboxWorker, WorkerDied, command_job
from codecascade.sandbox.program import Command


class Service:
    """A running command in a zone of its own; ``close`` it, or use it in ``with``.

    Its limits are those of its :class:`Command`, over its whole life: give it ``Limits(cpu_seconds=math.inf)`` and
    bound what it is asked by the clock.

    Attributes:
        stdin: what is written here (and flushed) it reads.
        stdout: what it writes.
    """

    def __init__(self, kind: Confinement, command: Command) -> None:
        given, self_stdin = os.pipe()
        self_stdout, out = os.pipe()
        self.stdin: BinaryIO = os.fdopen(self_stdin, "wb")
        self.stdout: BinaryIO = os.fdopen(self_stdout, "rb")
        try:
            self._worker = SandboxWorker(
                kind, (), command.folders, (given, out), scratch_mb=command.limits.scratch_mb
            )
        except WorkerDied:
            self.stdin.close()
            self.stdout.close()
            raise
        finally:
            os.close(given)
            os.close(out)
        self._answer: dict[str, Any] | None = None
        self._waiter = threading.Thread(target=self._wait, args=(command_job(command),), daemon=True)
        self._waiter.start()

    def _wait(self, job: dict[str, Any]) -> None:
        with contextlib.suppress(WorkerDied):
            self._answer = self._worker.run(job)
        self._worker.close()  # the last to hold its end of the pipes

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._waiter.is_alive()

    @property
    def stderr(self) -> str:
        """What it wrote to standard error, once it has ended by itself."""
        return self._answer["stderr"].decode("utf-8", "replace") if self._answer else ""

    def wait(self, seconds: float) -> None:
        """Until it has ended by itself, for at most so long."""
        self._waiter.join(seconds)

    def close(self) -> None:
        """Kill it and all that it started."""
        with contextlib.suppress(OSError):
            self.stdin.close()
        self._worker.close()
        self._waiter.join()
        self.stdout.close()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
