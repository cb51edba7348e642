"""The host side of the judging processes (:mod:`codecascade.sandbox.inside.judge`)."""

from __future__ import annotations

import contextlib
import functools
import math
import select
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from codecascade.sandbox.host.worker import Confinement, SandboxWorker, WorkerDied, command_job, import_path
from codecascade.sandbox.inside import wire
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command

_MODULES = ("wire", "judge", "verdict", "values/form", "values/reading", "values/exceptions")
_START = (
    "import sys; sys.path.insert(0, '.'); from codecascade.sandbox.inside import judge; judge.main({path!r})"
)
_LIMITS = Limits(cpu_seconds=math.inf, memory_mb=4096, address_space=True)


class JudgeProcess:
    """A confined process that runs the tests of one program after the other.

    Args:
        kind: its confinement.
        layers: as for :class:`SandboxWorker`.

    Raises:
        WorkerDied: it can't be started.
    """

    def __init__(self, kind: Confinement, layers: tuple[str, ...] | None) -> None:
        self._socket, its = socket.socketpair()
        # Also used as standard output, which the process replaces.
        also = its.dup()
        try:
            self._worker = SandboxWorker(kind, (), (), (its.fileno(), also.fileno()), layers)
        except WorkerDied:
            self._socket.close()
            raise
        finally:
            its.close()
            also.close()
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        self._waiter.start()

    def _wait(self) -> None:
        with contextlib.suppress(WorkerDied):
            self._worker.run(command_job(_command()))
        self._worker.close()

    @property
    def descriptor(self) -> int:
        """Readable when there is an answer."""
        return self._socket.fileno()

    def ask(self, job: dict[str, Any], link: int) -> None:
        """Have the tests of one program run; ``link`` is the descriptor that leads to the program.

        Raises:
            WorkerDied: the process has ended.
        """
        try:
            wire.send_job(self._socket, job, link)
        except OSError as error:
            raise WorkerDied(str(error)) from None

    def answer(self, seconds: float | None) -> dict[str, Any]:
        """The verdict; ``seconds`` is None if the answer is known to be there.

        Raises:
            WorkerDied: the process has ended, or does not answer in time.
        """
        if seconds is not None:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if not poll.poll(seconds * 1000):
                raise WorkerDied(f"no answer in {seconds:g} s")
        try:
            answer = wire.receive(self._socket.fileno())
        except OSError as error:
            raise WorkerDied(str(error)) from None
        if answer is None:
            raise WorkerDied("its process has ended")
        return answer

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._worker.close()
        self._waiter.join()


@functools.cache
def _command() -> Command:
    inside = Path(__file__).parent.parent / "inside"
    files = {
        f"codecascade/sandbox/inside/{name}.py": (inside / f"{name}.py").read_text("utf-8")
        for name in _MODULES
    }
    packages = ("", "sandbox/", "sandbox/inside/", "sandbox/inside/values/")
    files |= {f"codecascade/{package}__init__.py": "" for package in packages}
    path = import_path()
    argv = (sys.executable, "-s", "-S", "-P", "-c", _START.format(path=path))
    environment = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
    return Command(argv, files, environment=environment, limits=_LIMITS)
