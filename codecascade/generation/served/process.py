"""A server's process: started, waited for, and ended on every way out."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from codecascade.generation.served import guard
from codecascade.ground.errors import RunFailed

_LINES = 8
"""Of the log, in an error."""
_TAIL_BYTES = 16_384
_LONGEST_LINE = 300
_POLL_SECONDS = 0.25


class ServerProcess:
    """A command that runs under :mod:`~codecascade.generation.served.guard`, so that it can't outlive this process.

    Args:
        environment: all of the command's.
        log: a file that what it prints is added to.

    Raises:
        RunFailed: it can't be started.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self.command, self.log = list(command), log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._start = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-I", guard.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=dict(environment),
                # Ctrl-C is for this process, which ends the server in its own time.
                start_new_session=True,
            )
        self._finalizer = weakref.finalize(self, _end, self._process)

    def check(self) -> None:
        """See that it still runs.

        Raises:
            RunFailed: it has ended; the error shows the end of its log.
        """
        status = self._process.poll()
        if status is None:
            return
        lines = self.last_lines(_LINES)
        said = "".join(f"\n  {line}" for line in lines) if lines else " It printed nothing."
        raise RunFailed(f"{self.command[0]} ended with status {status}. The end of {self.log}:{said}")

    def last_lines(self, most: int) -> list[str]:
        """The last lines that it has printed, as far as they are not empty."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(self._start, size - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        plain = ("".join(sign for sign in line if sign.isprintable()).strip() for line in text.splitlines())
        return [line[:_LONGEST_LINE] for line in plain if line][-most:]

    def wait_until(
        self, ready: Callable[[], bool], seconds: float, waiting: Callable[[str], None] = lambda line: None
    ) -> None:
        """Wait until ``ready`` says so.

        Args:
            waiting: called with the last line of its log while it is waited for.

        Raises:
            RunFailed: it has ended before, or is not ready in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            if ready():
                return
            if time.monotonic() > deadline:
                last = next(iter(self.last_lines(1)), "nothing")
                raise RunFailed(
                    f"{self.command[0]} does not answer after {seconds / 60:,.1f} minutes (server.ready_minutes); "
                    f"the last line of {self.log}: {last}"
                )
            waiting(next(iter(self.last_lines(1)), "no output yet"))
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """End it, and return when it and what it started are gone."""
        self._finalizer()


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    # Either tells the guard to end the command. A fork of this process may hold the pipe open.
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.terminate()
    try:
        process.wait(guard.GRACE_SECONDS + guard.LEFT_SECONDS + 5)
    except subprocess.TimeoutExpired:
        # The kernel then ends the command, which is told of the guard's death.
        process.kill()
        process.wait()
