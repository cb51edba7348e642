"""``Sandbox``: runs programs and returns their outcomes.

**The threat.** A program is any text that a model wrote. It is assumed to be hostile: it may attack the machine,
other programs, and its own verdict. The kernel, the interpreter, this package and the tests are trusted.
``docs/sandbox.md`` explains each point, and :mod:`codecascade.sandbox.attacks` tests them.

What is ensured:

- A program reaches no network, and writes only in its scratch folder.
- Everything that it started is dead afterwards.
- It has limits on CPU time, memory, processes, files and output.
- With tests apart (``Program.calls``), it can neither change nor read what judges it.
- With tests in its process, it can't claim a pass without native code.

What is not ensured:

- With tests in its process, a program can patch what they use, return objects that equal everything, and read what
they expect. Native code there can forge a pass.
- A bug in the kernel is a bug here. The kernel's own memory (socket buffers, page tables) is not limited directly.
- Which private files it can read depends on the kind of confinement. Programs of one worker may leave traces in
memory for the next one.
- With ``mode="weak"`` on a machine that confines nothing, only the limits apply.

The kernel does the confinement (:mod:`codecascade.sandbox.inside.confinement`): with namespaces, where an ordinary
user or bubblewrap may make them; else with Landlock and seccomp. On a machine without any of these, a
:class:`Sandbox` refuses to start, unless ``mode="weak"`` is set. It also refuses on a Python whose C stack was not
measured, if a forged pass succeeds there.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from codecascade.ground.choices import SandboxMode
from codecascade.ground.errors import UserError
from codecascade.sandbox.check import best_confinement, unmeasured_python, verdict_holds
from codecascade.sandbox.host.pool import WorkerPool, check_file_names
from codecascade.sandbox.host.running_command import RunningCommand
from codecascade.sandbox.host.worker import Confinement
from codecascade.sandbox.languages.run import LanguageRunner
from codecascade.sandbox.languages.table import PYTHON, canonical_name
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Command, Program

# Programs whose outcome is reused for equal ones.
_REMEMBERED = 4096
# Programs for each worker that are prepared in advance, or done and waiting for an earlier one.
_AHEAD = 32


class Sandbox:
    """Runs programs confined, ``workers`` at a time. Its processes start when first needed.

    Args:
        mode: ``"strict"`` refuses to work if the machine can't confine; ``"weak"`` then works with limits only.
        workers: programs that run at the same time in :meth:`run_many`; None: one for each core.
        confinement: a kind to use in any case; None: the strongest one that works.
        layers: the extra layers of each worker; None: all.

    Raises:
        UserError: ``mode`` is strict, and this machine offers no confinement, or this Python was not measured and a
            forged pass succeeds.
    """

    def __init__(
        self,
        mode: SandboxMode = "strict",
        *,
        workers: int | None = None,
        confinement: Confinement | None = None,
        layers: tuple[str, ...] | None = None,
    ) -> None:
        self.confinement: Confinement = confinement or best_confinement()
        if self.confinement == "none" and mode == "strict":
            raise UserError(
                "programs written by a model can't be kept from the network, from your files or within limits on "
                "this machine (`codecascade sandbox check` says what is missing); use another machine, or accept "
                "the risk with --sandbox=weak"
            )
        python = unmeasured_python()
        if python is not None and mode == "strict" and not verdict_holds(self.confinement):
            raise UserError(
                f"on {python} a program that only claims to have passed can't be distinguished from one that did "
                "(`codecascade sandbox check` shows it); use Python 3.11 to 3.13, or accept the risk with "
                "--sandbox=weak"
            )
        self.workers = workers or len(os.sched_getaffinity(0))
        self._pool = WorkerPool(self.confinement, layers)
        self._languages = LanguageRunner(self.run_command, self.start, self.workers)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sandbox's processes; new ones start if it is used again."""
        self._pool.close()
        self._languages.close()

    def run(self, program: str | Program, *, timeout: float = 10.0, memory_mb: int = 2048) -> Outcome:
        """Run one program; ``timeout`` is in CPU seconds. Never raises for what the program does.

        Raises:
            UserError: its language is unknown, a file name leads out of its folder, or the time or memory is not
                positive.
        """
        if isinstance(program, str) or canonical_name(program.language) == PYTHON:
            return self._pool.run(program, timeout=timeout, memory_mb=memory_mb)
        return self._languages.run(program, program.limits(timeout, memory_mb))

    def run_command(self, command: Command) -> Outcome:
        """Run one command. Never raises for what it does; ``not_started`` if the machine has no such program.

        Raises:
            UserError: the name of a file or an output leads out of its folder.
        """
        return self._pool.run_command(command)

    def start(self, command: Command) -> RunningCommand:
        """Start a confined command that keeps running, such as a compiler, and communicate with it.

        Raises:
            UserError: as :meth:`run_command`.
            WorkerDied: it can't be started.
        """
        check_file_names(command.files)
        return RunningCommand(self.confinement, command)

    def run_many(
        self,
        programs: Iterable[str | Program],
        *,
        timeout: float = 10.0,
        memory_mb: int = 2048,
        share: bool = True,
    ) -> Iterator[Outcome]:
        """The outcomes of ``programs``, in their order; a limited number is prepared in advance.

        ``share``: a program that equals an earlier one of this call gets the same outcome without another run.
        """
        waiting: deque[Future[Outcome]] = deque()
        known: dict[tuple[object, ...], Future[Outcome]] = {}
        with ThreadPoolExecutor(self.workers, thread_name_prefix="sandbox") as pool:
            try:
                for program in programs:
                    key = _identity(program)
                    future = known.get(key) if share else None
                    if future is None:
                        future = pool.submit(self.run, program, timeout=timeout, memory_mb=memory_mb)
                        known[key] = future
                        if len(known) > _REMEMBERED:
                            del known[next(iter(known))]
                    waiting.append(future)
                    while waiting and (waiting[0].done() or len(waiting) > _AHEAD * self.workers):
                        yield from _some_outcomes(waiting)
                while waiting:
                    yield from _some_outcomes(waiting)
            finally:
                for future in waiting:
                    future.cancel()


def _some_outcomes(waiting: deque[Future[Outcome]]) -> Iterator[Outcome]:
    """The finished outcomes, in order, after a short wait in which several should finish.

    Waking up for each single outcome would cost a tenth of a short program's time.
    """
    if not waiting[0].done():
        wait([waiting[min(len(waiting), _AHEAD) // 2]], timeout=0.02)
    while waiting and waiting[0].done():
        yield waiting.popleft().result()


def _identity(program: str | Program) -> tuple[object, ...]:
    if isinstance(program, str):
        return (program,)
    return tuple(
        tuple(sorted(value.items())) if isinstance(value, Mapping) else value
        for value in vars(program).values()
    )
