"""The host side of one confined worker: starts its process, sends it jobs, ends it."""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from codecascade.sandbox.inside.kernel.rootfs import SCRATCH, visible
from codecascade.sandbox.inside.scratch import remove
from codecascade.sandbox.inside.wire import receive, send, send_job
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command, Program

Confinement = Literal["namespaces", "bubblewrap", "landlock", "none"]
LAYERS = ("seccomp", "landlock")
_SERVER = Path(__file__).parent.parent / "inside" / "server.py"
_START_SECONDS = 120
_BASES = ("/tmp", "/var/tmp", "/mnt", "/media", "/srv")


class WorkerDied(Exception):
    """The worker's process has ended or does not answer: start another one."""


class SandboxWorker:
    """A confined server process that runs jobs one after the other.

    Args:
        kind: its confinement.
        modules: imported in advance.
        folders: readable for programs, besides those of the system and the interpreter.
        standard: the descriptors ``(stdin, stdout)`` of the only program of a worker that is a service.
        layers: those of ``seccomp`` and ``landlock`` to add where the kernel has them; None: both, except that
            ``none`` has none.
        scratch_mb: size of the scratch folder; only bubblewrap needs it here, otherwise the limits of each job say
            it.

    Raises:
        WorkerDied: it can't be started; the message says why.
    """

    def __init__(
        self,
        kind: Confinement,
        modules: tuple[str, ...] = (),
        folders: tuple[str, ...] = (),
        standard: tuple[int, int] | None = None,
        layers: tuple[str, ...] | None = None,
        scratch_mb: int = 256,
    ) -> None:
        self.kind = kind
        if kind == "bubblewrap" and not bubblewrap_path():
            raise WorkerDied("bubblewrap is not installed, or this is root")
        self.scratch = (
            None if kind in ("namespaces", "bubblewrap") else tempfile.mkdtemp(prefix="codecascade-")
        )
        ours, its = socket.socketpair()
        self._socket = ours
        search = os.pathsep.join(dict.fromkeys([str(Path(sys.executable).parent), *os.defpath.split(":")]))
        interpreter = _interpreter_folders()
        setup = {
            "kind": kind,
            "layers": (() if kind == "none" else LAYERS) if layers is None else layers,
            "harness": os.getpid(),
            "control": its.fileno(),
            "folders": [*interpreter, *folders],
            "path": import_path(),
            "modules": modules,
            "scratch": self.scratch or SCRATCH,
            "base": next((base for base in _BASES if os.path.isdir(base)), "/tmp"),
            "search": search,
            "standard": standard,
        }
        command = [sys.executable, "-s", "-S", "-P", str(_SERVER), marshal.dumps(setup).hex()]
        if kind == "bubblewrap":
            command = [*_bubblewrap([*interpreter, *folders], scratch_mb), *command]
        environment = {"PATH": search, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
        # Once here, not in each fork.
        environment["LD_BIND_NOW"] = "1"
        environment |= {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
        with tempfile.TemporaryFile() as messages:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    # A pipe and not a file: programs inherit the stream.
                    stdout=subprocess.PIPE,
                    stderr=messages,
                    pass_fds=[its.fileno(), *(standard or ())],
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                _remove(self.scratch)
                raise WorkerDied(str(error)) from None
            finally:
                its.close()
            self._end = weakref.finalize(self, _end, ours, process, self.scratch, os.getpid())
            try:
                answer = self._receive(_START_SECONDS)
            except WorkerDied as error:
                self.close()
                messages.seek(0)
                lines = messages.read().decode("utf-8", "replace").split("\n")
                raise WorkerDied(next((line for line in reversed(lines) if line), str(error))) from None
        if "error" in answer:
            self.close()
            raise WorkerDied(answer["error"])

    def run(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Run one job; returns the server's answer.

        Raises:
            WorkerDied: the server has ended, or has not answered long after the job must have ended.
        """
        try:
            send(self._socket.fileno(), dict(job))
        except OSError as error:
            raise WorkerDied(str(error)) from None
        return self.answer(job)

    def ask(self, job: Mapping[str, Any], link: int) -> None:
        """Send a job whose tests run elsewhere, and the descriptor that leads to them. :meth:`answer` comes next.

        Raises:
            WorkerDied: the server has ended.
        """
        try:
            send_job(self._socket, dict(job), link)
        except OSError as error:
            raise WorkerDied(str(error)) from None

    @property
    def descriptor(self) -> int:
        """Readable when there is an answer."""
        return self._socket.fileno()

    def answer(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to the last request. Raises WorkerDied as :meth:`run` does."""
        limits = job["limits"]
        return self._receive(limits["longest_seconds"] + 2 * limits["wall_seconds"] + 60)

    def _receive(self, seconds: float) -> dict[str, Any]:
        descriptor = self._socket.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(seconds * 1000 if seconds < 1e6 else None):
            raise WorkerDied(f"no answer in {seconds:g} s")
        try:
            answer = receive(descriptor)
        except OSError as error:
            raise WorkerDied(str(error)) from None
        if answer is None:
            raise WorkerDied("its process has ended")
        return answer

    def close(self) -> None:
        """End the server and everything that runs in it."""
        self._end()


def _end(control: socket.socket, process: subprocess.Popen[bytes], scratch: str | None, owner: int) -> None:
    if os.getpid() != owner:
        # A fork of the host process must not end the worker.
        return
    with contextlib.suppress(OSError):
        # Wakes a thread that waits for an answer.
        control.shutdown(socket.SHUT_RDWR)
    # The server ends when this connection is closed, even while it watches a program.
    control.close()
    if process.stdout:
        process.stdout.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        # Then the kernel kills the server, as the server has requested.
        process.kill()
        process.wait()
    _remove(scratch)


def _remove(scratch: str | None) -> None:
    if scratch and os.path.exists(scratch):
        remove(scratch)


def python_job(program: Program, limits: Limits) -> dict[str, Any]:
    """The server's job for a Python program."""
    return {
        "source": program.source,
        # If tests run elsewhere, no process of the program's worker ever contains them.
        "tests": "" if program.calls else program.tests,
        "restores": bool(program.tests) and not program.calls,
        "by_status": program.is_judged_outside,
        "name": program.name,
        "stdin": _content(program.stdin),
        "files": {name: _content(content) for name, content in program.files.items()},
        "outputs": [],
        "limits": _limits(limits),
    }


def command_job(command: Command) -> dict[str, Any]:
    """The server's job for a command."""
    return {
        "argv": list(command.argv),
        "by_status": True,
        "environment": dict(command.environment),
        "stdin": _content(command.stdin),
        "files": {name: _content(content) for name, content in command.files.items()},
        "outputs": list(command.outputs),
        "limits": _limits(command.limits),
    }


def _content(given: str | bytes | None) -> bytes | None:
    return given.encode("utf-8", "surrogatepass") if isinstance(given, str) else given


def _limits(limits: Limits) -> dict[str, Any]:
    by_the_clock = {"wall_seconds": limits.wall_seconds, "longest_seconds": limits.longest_seconds}
    return {**vars(limits), **by_the_clock}


def import_path() -> list[str]:
    """Where programs import from: the standard library and the installed packages, but not this project's folder."""
    paths = sysconfig.get_paths()
    library = paths["stdlib"]
    return list(dict.fromkeys([library, f"{library}/lib-dynload", paths["purelib"], paths["platlib"]]))


def _interpreter_folders() -> list[str]:
    """The folders that the interpreter needs."""
    links = [sys.prefix, sys.base_prefix, sys.exec_prefix, *import_path(), str(Path(sys.executable).parent)]
    return sorted({path for link in links for path in (link, os.path.realpath(link)) if path != "/"})


def bubblewrap_path() -> str | None:
    """The path of the command ``bwrap``; None if it is missing or useless.

    For root it is useless: root either makes namespaces itself or not at all, and the kernel doesn't count root's
    processes.
    """
    return shutil.which("bwrap") if os.getuid() else None


def _bubblewrap(folders: list[str], scratch_mb: int) -> list[str]:
    """A command line that starts the following words in new namespaces, as an ordinary user."""
    command = [bubblewrap_path() or "bwrap", "--unshare-all", "--as-pid-1", "--cap-drop", "ALL"]
    for path in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
    for path in visible(folders):
        command += ["--ro-bind", path, path]
    for name in ("null", "zero", "full", "random", "urandom"):
        command += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for target, link in (
        ("/proc/self/fd", "/dev/fd"),
        (SCRATCH, "/dev/shm"),
        ("/proc/self/fd/0", "/dev/stdin"),
    ):
        command += ["--symlink", target, link]
    # The server's own code is outside of what programs see; it is loaded before the first program starts.
    package = str(_SERVER.parent.parent.parent)
    command += ["--ro-bind", package, package, "--proc", "/proc", "--dir", "/tmp"]
    command += ["--perms", "0700", "--size", str(scratch_mb << 20), "--tmpfs", SCRATCH]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]
