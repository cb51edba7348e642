"""Attacks on a sandbox: each returns whether the sandbox resisted it.

An attack only needs something that runs programs (:class:`ProgramRunner`), so that the choice of a confinement can
use attacks, too.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codecascade.sandbox import attack_programs as programs
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Program


class ProgramRunner(Protocol):
    """Anything that runs Python programs."""

    def run(self, program: str | Program, /, *, timeout: float = ..., memory_mb: int = ...) -> Outcome: ...


@dataclass(frozen=True)
class Attack:
    """An attack: ``tried`` describes it for people, ``attack`` returns whether the sandbox resisted it."""

    tried: str
    attack: Callable[[ProgramRunner], bool]

    def __call__(self, sandbox: ProgramRunner) -> bool:
        return self.attack(sandbox)


def network(sandbox: ProgramRunner, program: str = programs.NETWORK) -> bool:
    """Connections to a listener on this machine, and to another host."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return _held(sandbox, program, port=server.getsockname()[1])


def network_and_sockets(sandbox: ProgramRunner) -> bool:
    """:func:`network`, and messages to Unix sockets of this machine by path and by abstract name."""
    abstract = f"\0codecascade-{uuid.uuid4().hex}"
    with _open_folder() as outside, ExitStack() as stack:
        path = str(outside / "socket")
        found = []
        for address in (path, abstract):
            found.append(stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)))
            found[-1].bind(address)
            found[-1].setblocking(False)
        os.chmod(path, 0o777)
        sandbox.run(programs.DATAGRAMS.format(path=path, abstract=abstract), timeout=5)
        return not any(map(_has_heard, found)) and network(sandbox)


def _has_heard(listener: socket.socket) -> bool:
    try:
        return bool(listener.recv(9))
    except BlockingIOError:
        return False


def private_files(sandbox: ProgramRunner) -> bool:
    """Reading private files of ``/etc`` at any depth, and disks; run as root, who could read them all."""
    paths = [str(path) for path in _kept_from_others(Path("/etc")) if not path.is_symlink()]
    paths += [str(path) for path in Path("/dev").iterdir() if path.is_block_device() or path.name == "kmsg"]
    if os.getuid() != 0:
        paths = [path for path in paths if not os.access(path, os.R_OK)]
    return _held(sandbox, programs.PRIVATE, paths=paths[:200])


def _kept_from_others(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        mode = path.lstat().st_mode
        if not mode & 0o004:
            yield path
        try:
            if path.is_dir() and not path.is_symlink():
                yield from _kept_from_others(path)
        except OSError:
            continue


def forged_claims(sandbox: ProgramRunner) -> bool:
    """Whether no program that only claims to have passed is called passed, and one that does pass is."""
    forgeries = (programs.CLAIMS, programs.FINALISES, programs.AUDITS)
    # A thread that has got the token needs a moment to send it.
    tests = "import time\ntime.sleep(0.2)\nassert False"
    passed = [sandbox.run(Program(forgery, tests=tests), timeout=1).passed for forgery in forgeries]
    return not any(passed) and sandbox.run("pass").passed


def unawaited_children(sandbox: ProgramRunner) -> bool:
    """Processor time of short-lived children whose exit their parent ignores."""
    outcome = sandbox.run(programs.IGNORED, timeout=0.3)
    return outcome.outcome == "timed_out" and outcome.wall_seconds < 5


def writes(sandbox: ProgramRunner, program: str = programs.WRITES + programs.CHANGES) -> bool:
    """Writing to a folder that is writable for all, through a link, to the temporary folder, and above its own
    folder."""
    temporary = Path(tempfile.gettempdir()) / f"codecascade-{uuid.uuid4().hex}"
    with _open_folder() as outside:
        (outside / "there").write_text("still here")
        (outside / "there").chmod(0o666)
        before = (outside / "there").stat()
        held = _held(sandbox, program, outside=str(outside), temporary=str(temporary))
        untouched = [path.name for path in outside.iterdir()] == ["there"] and not temporary.exists()
        after = (outside / "there").stat()
        untouched = untouched and (before.st_mode, before.st_mtime_ns) == (after.st_mode, after.st_mtime_ns)
        untouched = untouched and not os.listxattr(outside / "there")
        untouched = untouched and (outside / "there").read_text() == "still here"
    temporary.unlink(missing_ok=True)
    return held and untouched


def leftovers(sandbox: ProgramRunner) -> bool:
    """A process and a file that are left after the program's end."""
    marker = f"codecascade-{uuid.uuid4().hex}"
    started = _held(sandbox, programs.DAEMON, marker=marker)
    empty = sandbox.run("import os\nassert not os.listdir('.')").passed
    return started and empty and not _runs(marker)


def limits(sandbox: ProgramRunner) -> bool:
    """Using more of each resource than allowed."""
    prints = sandbox.run("while True: print('x' * 100_000)", timeout=0.1)
    spins = sandbox.run(programs.CHILDREN, timeout=0.2)
    fills = sandbox.run("import os\nos.posix_fallocate(os.open('f', os.O_CREAT | os.O_RDWR), 0, 1 << 30)")
    hoards = sandbox.run("x = bytearray(1 << 30)", memory_mb=512)
    sends = sandbox.run(programs.SOCKETS, memory_mb=64)
    return (
        prints.outcome == "timed_out"
        and len(prints.stdout) <= 1_000_000
        and spins.outcome == "timed_out"
        # That of one process alone is limited as well, to 2.
        and spins.cpu_seconds < 4
        and not fills.passed
        and hoards.outcome == "out_of_memory"
        and sends.outcome == "out_of_memory"
        and _held(sandbox, programs.FORKS)
    )


def tests_apart(sandbox: ProgramRunner) -> bool:
    """Patched builtins, a value that equals everything, native code, and a search for the tests in memory."""
    right = sandbox.run(Program("def f(x): return x + 1", tests="assert f(6) == 7", calls=("f",)))
    fooled = sandbox.run(
        Program(programs.FOOLS, tests="assert f(6) == 7 and abs(f(6) - 7) < 1", calls=("f",))
    )
    tests = "# marker-4711\n" * 50 + "assert f(0) < 50"
    unread = all(sandbox.run(Program(programs.SEARCHES, tests=tests, calls=("f",))).passed for _ in range(2))
    return right.passed and not fooled.passed and unread


def signals(sandbox: ProgramRunner) -> bool:
    """A signal to a process of the same user."""
    with _of_same_user(sandbox) as other:
        return _held(sandbox, "assert refused(os.kill, {pid}, 0)", pid=other)


def processes(sandbox: ProgramRunner) -> bool:
    """Access to processes of this one, and of the same user."""
    with _of_same_user(sandbox) as other:
        return all(_held(sandbox, programs.PROCESSES, pid=pid) for pid in (os.getpid(), other))


NETWORK = Attack("TCP, UDP to the loopback; UDP out; host sockets", network_and_sockets)
WRITES = Attack("write, delete, rename, chmod outside, by a link", writes)
FILES = Attack(
    "write, delete, rename outside, also by a link", lambda sandbox: writes(sandbox, programs.WRITES)
)
LEFTOVERS = Attack("a grandchild that is a daemon; a file", leftovers)
LIMITS = Attack("loops, output, too much memory, file, forks", limits)
PROCESSES = Attack("signal, ptrace, memory, environment, limits", processes)
CALLS = Attack(
    "socket, datagrams, ptrace, mount, memfd, splice, flock", lambda sandbox: _held(sandbox, programs.CALLS)
)
TCP = Attack("TCP to the loopback", lambda sandbox: network(sandbox, programs.TCP))
SIGNALS = Attack("a signal to a process of the same user", signals)
PRIVATE = Attack("read what /etc keeps from others; disks", private_files)
IGNORED = Attack("children that nobody waits for", unawaited_children)
VERDICT = Attack("a claim to have passed before the end", forged_claims)
TESTS_APART = Attack("patches, __eq__, native code; a search for the tests", tests_apart)


PROMISES = {
    "no network": NETWORK,
    "no writes outside": WRITES,
    "no leftovers": LEFTOVERS,
    "limits": LIMITS,
}


def _held(sandbox: ProgramRunner, program: str, **values: object) -> bool:
    return sandbox.run(programs.REFUSED + program.format(**values), timeout=5).passed


def _runs(marker: str) -> bool:
    """Whether a process with this argument is running."""
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and marker.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


@contextmanager
def _of_same_user(sandbox: ProgramRunner) -> Iterator[int]:
    """A process that runs as the same user as the programs, so that only the confinement protects it."""
    user = int(sandbox.run("import os\nprint(os.getuid())").stdout)
    with subprocess.Popen(["sleep", "60"], user=user if os.getuid() == 0 else None) as other:
        try:
            yield other.pid
        finally:
            other.kill()


@contextmanager
def _open_folder() -> Iterator[Path]:
    """A folder that everybody may write to."""
    folder = Path(tempfile.mkdtemp(prefix="codecascade-"))
    try:
        folder.chmod(0o777)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
