"""Processes that are forked from one that has imported everything: importing torch costs each other process seconds.

A process runs a script, or the command ``codecascade``, with its own arguments, environment and standard streams. It
can be killed and gets signals like any other. What it lacks is the end of an interpreter; functions that ``atexit``
knows are called, though.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from torch.distributed import TCPStore

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["codecascade.cascade.run", "codecascade.training.loop", "pytest"])

CODECASCADE = "codecascade"
"""The command, in place of a script's path."""


def _run(
    script: str, arguments: Sequence[str], environment: Mapping[str, str], streams: Sequence[str]
) -> None:
    os.environ.update(environment)
    for descriptor, path in enumerate(streams, 1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    sys.argv[:] = [script, *arguments]
    try:
        if script == CODECASCADE:
            from codecascade.cli import main

            main(list(arguments))
        else:
            runpy.run_path(script, run_name="__main__")
    finally:
        atexit._run_exitfuncs()


class WarmProcess:
    """A process that ends with the ``with`` block, if not before.

    Args:
        script: a path, or :data:`CODECASCADE`.
        folder: where the texts of its standard streams are kept.
        environment: variables beside those of this process.
    """

    def __init__(
        self,
        script: str | Path,
        arguments: Sequence[object],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{len(list(folder.glob('*.err')))}"
        self._streams = [folder / f"{name}.out", folder / f"{name}.err"]
        for path in self._streams:
            path.touch()
        self._process = _context.Process(
            target=_run,
            args=(
                str(script),
                [str(argument) for argument in arguments],
                dict(environment or {}),
                [str(path) for path in self._streams],
            ),
        )
        self._process.start()

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 300) -> int:
        """The exit status when it has ended."""
        self._process.join(timeout)
        status = self._process.exitcode
        assert status is not None, f"no end after {timeout} s: {self.stderr}"
        return status

    @property
    def stdout(self) -> str:
        return self._streams[0].read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self._streams[1].read_text(encoding="utf-8")


class WarmRanks:
    """Several ranks of one world, as torchrun starts them, but without its process that watches over them."""

    def __init__(
        self,
        count: int,
        script: str | Path,
        arguments: Sequence[object],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # As torchrun's, the store is this process's. So its port is taken from now on, and not only looked for.
        self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        world = {
            "WORLD_SIZE": count,
            "LOCAL_WORLD_SIZE": count,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": self._store.port,
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RESTART_COUNT": 0,
        }
        self.ranks = [
            WarmProcess(
                script,
                arguments,
                folder / f"rank{rank}",
                {
                    **(environment or {}),
                    **{name: str(value) for name, value in world.items()},
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                },
            )
            for rank in range(count)
        ]

    def __enter__(self) -> WarmRanks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for rank in self.ranks:
            rank.__exit__(kind, error, trace)

    def wait(self, timeout: float = 300) -> list[int]:
        """The exit statuses. When one rank has failed, the others are killed."""
        end = time.monotonic() + timeout
        while any(rank.poll() is None for rank in self.ranks) and time.monotonic() < end:
            ended = [status for rank in self.ranks if (status := rank.poll())]
            if any(status < 0 for status in ended):
                # the others wait for one that was killed
                end = min(end, time.monotonic() + 1)
            elif ended:
                # the others end, too, on a busy machine later
                end = min(end, time.monotonic() + 60)
            time.sleep(0.01)
        for rank in self.ranks:
            if rank.poll() is None:
                rank.send_signal(9)
        return [rank.wait() for rank in self.ranks]

    @property
    def messages(self) -> str:
        """What all have written to standard error."""
        return "\n".join(rank.stderr for rank in self.ranks)
