"""``Sandbox``: programs in, outcomes out.

Each program runs in a process of its own with limits on CPU time, memory, processes, files and output; it can
write only in its scratch folder and reach no network; everything that it started is dead afterwards. The
confinement is the kernel's (:mod:`codecascade.sandbox.confinement`): namespaces where an ordinary user may make them
or bubblewrap does, else Landlock and seccomp. Where a machine offers none of these, a :class:`Sandbox` refuses to
start unless it is told ``mode="weak"``.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Literal

from codecascade.errors import UserError
from codecascade.sandbox.languages.run import Languages
from codecascade.sandbox.languages.table import PYTHON, canonical_name
from codecascade.sandbox.outcome import Limits, Outcome, Verdict
from codecascade.sandbox.program import Command, Program
from codecascade.sandbox.service import Service
from codecascade.sandbox.zone import Kind, Zone, ZoneDied, command_job, python_job

Mode = Literal["strict", "weak"]

# Imports that cost many times what a short program does: a zone that made them serves the programs that name them.
_COMMON = ("typing", "collections", "functools", "re", "string", "heapq", "bisect")
_PRELOADED = {
    "common": re.compile(rf"^\s*(?:import|from)\s+(?:{'|'.join(_COMMON)})\b", re.MULTILINE),
    "numpy": re.compile(r"^\s*(?:import|from)\s+(?:numpy|scipy|pandas)\b", re.MULTILINE),
    "doctest": re.compile(r"^\s*(?:import|from)\s+(?:doctest|unittest)\b", re.MULTILINE),
}
_REMEMBERED = 4096  # programs whose outcome equal ones share
_AHEAD = 32  # programs a worker that are held ready, or done and not yet asked for, while an earlier one still runs


class Sandbox:
    """Runs programs confined, ``workers`` at a time. Its processes start when they are first needed.

    Args:
        mode: ``"strict"`` refuses to work where the machine can't confine; ``"weak"`` then works with limits only.
        workers: programs that run at the same time in :meth:`run_many`; None: one a core.
        confinement: a kind to insist on, whatever it gives; None: the best that holds.
        layers: of a zone's ``layers``, those to put on top; None: all.

    Raises:
        UserError: ``mode`` is strict and this machine offers no confinement.
    """

    def __init__(
        self,
        mode: Mode = "strict",
        *,
        workers: int | None = None,
        confinement: Kind | None = None,
        layers: tuple[str, ...] | None = None,
    ) -> None:
        self.confinement: Kind = confinement or best_confinement()
        if self.confinement == "none" and mode == "strict":
            raise UserError(
                "programs written by a model can't be kept from the network, from your files or within limits on "
                "this machine (`codecascade sandbox check` says what is missing); use another machine, or accept "
                "the risk with --sandbox=weak"
            )
        self.workers = workers or len(os.sched_getaffinity(0))
        self._layers = layers
        self._idle: dict[tuple[str, ...], list[Zone]] = {}
        self._lock = threading.Lock()
        self._languages = Languages(self.run_command, self.start, self.workers)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sandbox's processes; it starts others if it is used again."""
        with self._lock:
            zones = [zone for idle in self._idle.values() for zone in idle]
            self._idle.clear()
        for zone in zones:
            zone.close()
        self._languages.close()

    def run(self, program: str | Program, *, timeout: float = 10.0, memory_mb: int = 2048) -> Outcome:
        """Run one program; ``timeout`` is in CPU seconds. Never raises for what the program does.

        Raises:
            UserError: its language is unknown, or one of its files has a name that leads out of its folder.
        """
        limits = Limits(cpu_seconds=timeout, memory_mb=memory_mb)
        if isinstance(program, str):
            program = Program(program)
        if program.timeout is not None:
            limits = replace(limits, cpu_seconds=program.timeout)
        if canonical_name(program.language) != PYTHON:
            return self._languages.run(program, limits)
        _check_names(program.files)
        text = f"{program.source}\n{program.tests}"
        modules: tuple[str, ...] = ()
        for name, pattern in _PRELOADED.items() if "import" in text else ():
            if pattern.search(text):
                modules = (*modules, *(_COMMON if name == "common" else (name,)))
        return self._run(python_job(program, limits), limits, modules, ())

    def run_command(self, command: Command) -> Outcome:
        """Run one command. Never raises for what it does; ``not_started`` where there is no such program.

        Raises:
            UserError: one of its files or outputs has a name that leads out of its folder.
        """
        _check_names([*command.files, *command.outputs])
        return self._run(command_job(command), command.limits, (), command.folders)

    def start(self, command: Command) -> Service:
        """Start a confined command that stays, such as a compiler that is warm after its first use, and talk to it.

        Raises:
            UserError: as :meth:`run_command`.
            ZoneDied: it can't be started.
        """
        _check_names(command.files)
        return Service(self.confinement, command)

    def run_many(
        self,
        programs: Iterable[str | Program],
        *,
        timeout: float = 10.0,
        memory_mb: int = 2048,
        share: bool = True,
    ) -> Iterator[Outcome]:
        """The outcomes of ``programs``, in their order; a bounded number is held ready at a time.

        ``share``: a program that equals an earlier one of this call gets its outcome, without another run.
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

    def _run(
        self, job: dict[str, Any], limits: Limits, modules: tuple[str, ...], folders: tuple[str, ...]
    ) -> Outcome:
        key = (*modules, "|", *folders)
        for attempt in (1, 2):
            with self._lock:
                idle = self._idle.get(key)
                zone = idle.pop() if idle else None
            try:
                if zone is None:
                    zone = Zone(self.confinement, modules, folders, layers=self._layers)
            except ZoneDied as error:
                return Outcome("not_started", str(error))
            try:
                answer = zone.run(job)
            except ZoneDied as error:
                # Perhaps for lack of memory, perhaps the program's doing: once more, in a zone of its own.
                zone.close()
                if attempt == 2:
                    return Outcome("killed", f"the sandbox's process died under it twice ({error})")
                continue
            with self._lock:
                self._idle.setdefault(key, []).append(zone)
            return outcome_of(answer, limits, is_command="argv" in job)
        raise AssertionError("unreachable")


def _some_outcomes(waiting: deque[Future[Outcome]]) -> Iterator[Outcome]:
    """The outcomes that are there, in order, after a moment in which several should come.

    To wake up for each single one would cost a tenth of a short program's time.
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


@functools.cache
def best_confinement() -> Kind:
    """The strongest confinement that keeps all promises on this machine, found by attacking it."""
    from codecascade.sandbox.check import keeps_promises

    kinds: tuple[Kind, ...] = ("namespaces", "bubblewrap", "landlock")
    for kind in kinds:
        with Sandbox(workers=1, confinement=kind) as sandbox:
            if keeps_promises(sandbox):
                return kind
    return "none"


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise UserError(f"{name!r}: must be a relative name that stays in the program's folder")


def outcome_of(answer: dict[str, Any], limits: Limits, *, is_command: bool) -> Outcome:
    """A server's answer in words."""
    verdict, exception = _verdict(answer, limits, is_command)
    return Outcome(
        verdict,
        exception,
        answer["stdout"].decode("utf-8", errors="replace"),
        answer["stderr"].decode("utf-8", errors="replace"),
        round(answer["cpu_seconds"], 4),
        round(answer["wall_seconds"], 4),
        answer["exit_status"]
        if is_command and answer["exit_status"] >= 0 and not answer["verdict"]
        else None,
        answer["files"],
    )


def _verdict(answer: dict[str, Any], limits: Limits, is_command: bool) -> tuple[Verdict, str | None]:
    told: Verdict | Literal[""] = answer["verdict"]
    # Also of a program that got to its end between two looks at its clock.
    if answer["cpu_seconds"] > limits.cpu_seconds and told in ("", "passed"):
        return "timed_out", f"no end after {limits.cpu_seconds:g} s of CPU time"
    if told:
        return told, answer["exception"]
    if answer["signal"]:
        return "killed", f"killed by signal {answer['signal']}"
    if is_command:
        status = answer["exit_status"]
        return ("failed", f"exit status {status}") if status else ("passed", None)
    return "failed", "left before its end"
