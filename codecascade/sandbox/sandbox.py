"""``Sandbox``: programs in, outcomes out.

Each program runs in a process of its own with limits on CPU time, memory, processes, files and output; it can
write only in its scratch folder and reach no network; everything that it started is dead afterwards. The
confinement is the kernel's: namespaces where an ordinary user may make them, else Landlock and seccomp. Where a
machine offers neither, a :class:`Sandbox` refuses to start unless it is told ``mode="weak"``.

A program shares its interpreter with the code that reports its verdict, so a program made to deceive can still
claim to have passed. (Comparing outputs outside, which can't be deceived, is the way to score hostile programs.)
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import secrets
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from codecascade.errors import UserError
from codecascade.sandbox.outcome import Limits, Outcome
from codecascade.sandbox.program import Command, Program

Mode = Literal["strict", "weak"]
Confinement = Literal["namespaces", "landlock", "none"]
_LAUNCHER = Path(__file__).with_name("launcher.py")

# Succeeds only where the promises hold: a write outside, a socket and a look at a foreign process must all fail.
_ATTACK = """
import os, socket
def refused(attack):
    try:
        attack()
    except OSError:
        return True
    return False
open("inside", "w").write("x")
assert refused(lambda: open(os.path.join({outside!r}, "written"), "w")), "wrote outside its folder"
assert refused(lambda: socket.socket()), "opened a socket"
"""
_SIGNAL_ATTACK = """
assert refused(lambda: os.kill({pid}, 0)), "could signal a process outside"
"""


class Sandbox:
    """Runs Python programs confined, ``workers`` at a time.

    Args:
        mode: ``"strict"`` refuses to work where the machine can't confine; ``"weak"`` then works with limits only.
        workers: programs that run at the same time in :meth:`run_many`.

    Raises:
        UserError: ``mode`` is strict and this machine offers no confinement.
    """

    def __init__(self, mode: Mode = "strict", *, workers: int = 2) -> None:
        self.confinement: Confinement = best_confinement()
        if self.confinement == "none" and mode == "strict":
            raise UserError(
                "this machine offers neither user namespaces nor Landlock with seccomp, so that programs written by "
                "a model can't be kept from the network and from your files; use another machine, or accept the "
                "risk with --sandbox=weak"
            )
        self.workers = workers

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing outlives a run."""

    def run(self, program: str | Program, *, timeout: float = 10.0, memory_mb: int = 2048) -> Outcome:
        """Run one program; ``timeout`` is in CPU seconds. Never raises for what the program does."""
        return _run(program, Limits(cpu_seconds=timeout, memory_mb=memory_mb), self.confinement)

    def run_command(self, command: Command) -> Outcome:
        """Run one command. Never raises for what it does; ``not_started`` where there is no such program."""
        return _run(command, command.limits, self.confinement)

    def run_many(
        self, programs: Iterable[str | Program], *, timeout: float = 10.0, memory_mb: int = 2048
    ) -> Iterator[Outcome]:
        """The outcomes of ``programs``, in their order; at most a few programs are held ready at a time."""
        limits = Limits(cpu_seconds=timeout, memory_mb=memory_mb)
        with ThreadPoolExecutor(self.workers, thread_name_prefix="sandbox") as pool:
            waiting: list[Future[Outcome]] = []
            for program in programs:
                waiting.append(pool.submit(_run, program, limits, self.confinement))
                if len(waiting) > 4 * self.workers:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()


@functools.cache
def best_confinement() -> Confinement:
    """The strongest confinement that holds on this machine, found by attacking it."""
    kinds: tuple[Confinement, ...] = ("namespaces", "landlock")
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="codecascade-") as outside:
            attack = _ATTACK.format(outside=outside)
            # Landlock scopes signals from version 6 on; a program may otherwise signal its own user's processes.
            if kind == "namespaces":
                attack += _SIGNAL_ATTACK.format(pid=os.getpid())
            if _run(attack, Limits(cpu_seconds=5), kind).passed:
                return kind
    return "none"


def _run(program: str | Program | Command, limits: Limits, confinement: Confinement) -> Outcome:
    if isinstance(program, str):
        program = Program(program)
    if isinstance(program, Program):
        if program.language != "python":
            raise UserError(f"no such language: {program.language}")
        if program.timeout is not None:
            limits = replace(limits, cpu_seconds=program.timeout)
    folder = Path(tempfile.mkdtemp(prefix="codecascade-"))
    try:
        return _run_in(folder, program, limits, confinement)
    except OSError as error:
        return Outcome("not_started", f"{type(error).__name__}: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_in(folder: Path, program: Program | Command, limits: Limits, confinement: Confinement) -> Outcome:
    source, scratch, files = folder / "program.py", folder / "scratch", folder / "files"
    if isinstance(program, Program):
        text = f"{program.source}\n{program.tests}" if program.tests else program.source
        source.write_text(text, encoding="utf-8", errors="surrogatepass")
    scratch.mkdir()
    files.mkdir()
    for name, content in program.files.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (files / name).chmod(0o755)
    given = program.stdin or b""
    (folder / "stdin").write_bytes(given.encode() if isinstance(given, str) else given)
    token = secrets.token_hex(16)
    reader, writer = os.pipe()
    request = {
        "program": str(source),
        "scratch": str(scratch),
        "confinement": confinement,
        "verdict_descriptor": writer,
        "token": token,
        "cpu_limit": math.ceil(limits.cpu_seconds),
        "wall_seconds": limits.wall_seconds,
        "memory_mb": limits.memory_mb,
        "file_mb": limits.file_mb,
        "processes": limits.processes,
        "path": _import_path(),
        "files": str(files),
        "address_space": limits.address_space,
    }
    if isinstance(program, Command):
        request |= {"argv": program.argv, "environment": dict(program.environment)}
    command = [sys.executable, "-I", "-S", "-B", str(_LAUNCHER), json.dumps(request)]
    started = time.monotonic()
    try:
        with (
            open(folder / "stdin", "rb") as stdin,
            open(folder / "stdout", "wb") as stdout,
            open(folder / "stderr", "wb") as stderr,
        ):
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[writer],
                env={"PATH": os.defpath, "HOME": str(scratch), "TMPDIR": str(scratch), "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        os.close(writer)
        writer = -1
        if not _ends_within(process.pid, limits.wall_seconds + 10):
            process.kill()  # takes the namespace along; the launcher has its own, earlier clock
        process.wait()
        messages = _messages(reader, token)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    verdict, exception = _verdict(messages, limits, isinstance(program, Command))
    return Outcome(
        verdict,
        exception,
        _head(folder / "stdout", limits.output_bytes),
        _head(folder / "stderr", limits.output_bytes),
        round(messages.get("cpu_seconds", 0.0), 4),
        round(time.monotonic() - started, 4),
        messages.get("exit_status") if isinstance(program, Command) else None,
    )


def _ends_within(pid: int, seconds: float) -> bool:
    """Wait for a process without polling."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def _messages(reader: int, token: str) -> dict[str, Any]:
    """What the launcher and the program said, put together; lines without the token are not theirs."""
    os.set_blocking(reader, False)
    content = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(reader, 65536):
            content += part
    merged: dict[str, Any] = {}
    for line in content.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and message.get("token") == token:
            merged.update(message)
    return merged


def _verdict(messages: dict[str, Any], limits: Limits, is_command: bool) -> tuple[Any, str | None]:
    if "verdict" in messages:
        return messages["verdict"], messages.get("exception")
    ended_by = messages.get("ended_by")
    if ended_by == "wall":
        return "timed_out", f"no end after {limits.wall_seconds:g} s by the clock"
    # The kernel's limit and its accounts differ by some ticks.
    if messages.get("cpu_seconds", 0.0) >= 0.95 * limits.cpu_seconds - 0.25:
        return "timed_out", f"no end after {limits.cpu_seconds:g} s of CPU time"
    if isinstance(ended_by, int) and ended_by > 0:
        return "killed", f"killed by signal {ended_by}"
    if "exit_status" in messages and is_command:
        status = messages["exit_status"]
        return ("failed", f"exit status {status}") if status else ("passed", None)
    if messages:
        return "failed", "left before its end"
    return "not_started", "the launcher gave no answer"


def _import_path() -> list[str]:
    """Where programs may import from: the standard library and the installed packages, never our own folder."""
    paths = sysconfig.get_paths()
    library = paths["stdlib"]
    return list(dict.fromkeys([library, f"{library}/lib-dynload", paths["purelib"], paths["platlib"]]))


def _head(path: Path, size: int) -> str:
    with open(path, "rb") as file:
        return file.read(size).decode("utf-8", errors="replace")
