"""A pool of sandbox workers: each job goes to a suitable idle worker, or to a new one."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Literal

from codecascade.ground.errors import UserError
from codecascade.sandbox.host.judges import JudgeProcess
from codecascade.sandbox.host.split import JudgeDied, run_tests_apart, tests_job
from codecascade.sandbox.host.worker import Confinement, SandboxWorker, WorkerDied, command_job, python_job
from codecascade.sandbox.outcome import Limits, Outcome, Verdict
from codecascade.sandbox.program import Command, Program

# These imports cost much more than a short program, so a worker that made them is reused for programs that need them.
_COMMON = ("typing", "collections", "functools", "re", "string", "heapq", "bisect")
_PRELOADED = {
    "common": re.compile(rf"^[^\S\n]*(?:import|from)\s+(?:{'|'.join(_COMMON)})\b", re.MULTILINE),
    "numpy": re.compile(r"^[^\S\n]*(?:import|from)\s+(?:numpy|scipy|pandas)\b", re.MULTILINE),
    "doctest": re.compile(r"^[^\S\n]*(?:import|from)\s+(?:doctest|unittest)\b", re.MULTILINE),
}


class WorkerPool:
    """As many workers of one confinement as are in use at the same time; they start when first needed.

    Args:
        kind: the confinement.
        layers: the extra layers (see :class:`SandboxWorker`); None: all.
    """

    def __init__(self, kind: Confinement, layers: tuple[str, ...] | None = None) -> None:
        self.kind, self._layers = kind, layers
        self._idle: dict[tuple[str, ...], list[SandboxWorker]] = {}
        # Idle ones.
        self._judges: list[JudgeProcess] = []
        self._lock = threading.Lock()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the idle workers; new ones are started if more jobs come."""
        with self._lock:
            ended: list[SandboxWorker | JudgeProcess] = [
                *(worker for idle in self._idle.values() for worker in idle),
                *self._judges,
            ]
            self._idle.clear()
            self._judges.clear()
        for each in ended:
            each.close()

    def run(self, program: str | Program, *, timeout: float = 10.0, memory_mb: int = 2048) -> Outcome:
        """Run one Python program; ``timeout`` is in CPU seconds.

        Raises:
            UserError: a file name leads out of the program's folder, or the time or memory is not positive.
        """
        if isinstance(program, str):
            program = Program(program)
        limits = program.limits(timeout, memory_mb)
        check_file_names(program.files)
        text = program.source if program.calls else f"{program.source}\n{program.tests}"
        modules: tuple[str, ...] = ()
        for name, pattern in _PRELOADED.items() if "import" in text else ():
            if pattern.search(text):
                modules = (*modules, *(_COMMON if name == "common" else (name,)))
        tests = tests_job(program, limits) if program.calls else None
        outcome = self._run(python_job(program, limits), limits, modules, (), tests)
        return replace(outcome, tests_apart=tests is not None) if program.tests else outcome

    def run_command(self, command: Command) -> Outcome:
        """Run one command; the outcome is ``not_started`` if the machine has no such program.

        Raises:
            UserError: the name of a file or an output leads out of the program's folder.
        """
        check_file_names([*command.files, *command.outputs])
        return self._run(command_job(command), command.limits, (), command.folders)

    def _run(
        self,
        job: dict[str, Any],
        limits: Limits,
        modules: tuple[str, ...],
        folders: tuple[str, ...],
        tests: dict[str, Any] | None = None,
    ) -> Outcome:
        size = str(limits.scratch_mb) if self.kind == "bubblewrap" else ""
        key = (*modules, size, *folders)
        for attempt in (1, 2):
            with self._lock:
                idle = self._idle.get(key)
                worker = idle.pop() if idle else None
            try:
                if worker is None:
                    worker = SandboxWorker(
                        self.kind, modules, folders, layers=self._layers, scratch_mb=limits.scratch_mb
                    )
            except WorkerDied as error:
                return Outcome("not_started", str(error))
            try:
                answer = worker.run(job) if tests is None else self._run_split(worker, job, tests, limits)
            except WorkerDied as error:
                # Maybe for lack of memory, maybe because of the program: try once more with a new worker.
                worker.close()
                if attempt == 2:
                    return Outcome("killed", f"the sandbox's process died under it twice ({error})")
                continue
            with self._lock:
                self._idle.setdefault(key, []).append(worker)
            return outcome_from_answer(answer, limits, is_command="argv" in job, by_status=job["by_status"])
        raise AssertionError("unreachable")

    def _run_split(
        self, worker: SandboxWorker, job: dict[str, Any], tests: dict[str, Any], limits: Limits
    ) -> dict[str, Any]:
        """Run a program in a worker and its tests in a judging process."""
        for _ in (1, 2):
            with self._lock:
                judge = self._judges.pop() if self._judges else None
            if judge is None:
                judge = JudgeProcess(self.kind, self._layers)
            try:
                answer = run_tests_apart(worker, judge, job, tests, limits)
            except JudgeDied:
                judge.close()
                continue
            except BaseException:
                judge.close()
                raise
            if answer.get("judge_died"):
                judge.close()
            else:
                with self._lock:
                    self._judges.append(judge)
            return answer
        why = "its answers brought the judging process down twice"
        return {**NO_OUTPUT, "verdict": "failed", "exception": why}


NO_OUTPUT: dict[str, Any] = {
    "signal": 0,
    "exit_status": -1,
    "stdout": b"",
    "stderr": b"",
    "files": {},
    "cpu_seconds": 0.0,
    "wall_seconds": 0.0,
}


def check_file_names(names: Iterable[str]) -> None:
    """Check the names of files in a program's folder.

    Raises:
        UserError: one leads out of the folder.
    """
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise UserError(f"{name!r}: must be a relative name that stays in the program's folder")


def outcome_from_answer(
    answer: dict[str, Any], limits: Limits, *, is_command: bool, by_status: bool
) -> Outcome:
    """The :class:`Outcome` for a server's answer; ``by_status``: exit status 0 is a pass."""
    verdict, exception = _verdict(answer, limits, by_status)
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
        stdout_is_full=len(answer["stdout"]) >= limits.output_bytes,
    )


def _verdict(answer: dict[str, Any], limits: Limits, by_status: bool) -> tuple[Verdict, str | None]:
    stated: Verdict | Literal[""] = answer["verdict"]
    # Also for a program that ended between two checks of its CPU time.
    if answer["cpu_seconds"] > limits.cpu_seconds and stated in ("", "passed"):
        return "timed_out", f"no end after {limits.cpu_seconds:g} s of CPU time"
    if stated:
        return stated, answer["exception"]
    if answer["signal"]:
        return "killed", f"killed by signal {answer['signal']}"
    if by_status:
        status = answer["exit_status"]
        return ("failed", f"exit status {status}") if status else ("passed", None)
    return "failed", "left before its end"
