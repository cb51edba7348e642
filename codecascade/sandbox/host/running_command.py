"""A confined command that keeps running: a compiler that is warm after its first use."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any, BinaryIO

from codecascade.sandbox.host.worker import Confinement, SandboxWorker, WorkerDied, command_job
from codecascade.sandbox.program import Command


class RunningCommand:
    """A running confined command; ``close`` it, or use it in ``with``.

    Its limits are those of its :class:`Command`, over its whole life. Use ``Limits(cpu_seconds=math.inf)``, and
    limit each request by the clock.

    Attributes:
        stdin: what is written and flushed here is the command's input.
        stdout: the command's output.
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
        # It has the last open end of the pipes.
        self._worker.close()

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        return self._waiter.is_alive()

    @property
    def stderr(self) -> str:
        """Its standard error, once it has ended by itself."""
        return self._answer["stderr"].decode("utf-8", "replace") if self._answer else ""

    def wait(self, seconds: float) -> None:
        """Wait until it has ended by itself, for at most ``seconds``."""
        self._waiter.join(seconds)

    def close(self) -> None:
        """Kill it and everything that it started."""
        with contextlib.suppress(OSError):
            self.stdin.close()
        self._worker.close()
        self._waiter.join()
        self.stdout.close()

    def __enter__(self) -> RunningCommand:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
