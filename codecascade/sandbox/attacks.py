"""Attacks on a sandbox's promises: each says whether the sandbox held.

An attack needs only something that runs programs (:class:`Runs`), so that what chooses a sandbox's confinement can
attack too.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Program


class Runs(Protocol):
    """Whatever runs Python programs."""

    def run(self, program: str | Program, /, *, timeout: float = ..., memory_mb: int = ...) -> Outcome: ...


@dataclass(frozen=True)
class Attack:
    """Attributes: ``tried``, for people; ``attack``: whether the sandbox held."""

    tried: str
    attack: Callable[[Runs], bool]

    def __call__(self, sandbox: Runs) -> bool:
        return self.attack(sandbox)


_REFUSED = """
import ctypes, os, signal, sys
def refused(attack, *arguments):
    try:
        return attack(*arguments) == -1  # a call of the C library reports -1
    except OSError:
        return True
libc = ctypes.CDLL(None)
"""
_NETWORK = """
import _socket
def tcp():
    _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM).connect(("127.0.0.1", {port}))
def udp():
    _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {port}))
def out():
    _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM).connect(("192.0.2.1", 9))
assert refused(tcp) and refused(udp) and refused(out)
"""
_TCP = """
import _socket
assert refused(_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM).connect, ("127.0.0.1", {port}))
"""
_WRITES = """
os.symlink({outside!r}, "link")
for path in ({outside!r} + "/new", "link/new", {outside!r} + "/there", {temporary!r}, os.path.expanduser("~/../new")):
    assert refused(open, path, "a"), path
assert refused(os.unlink, {outside!r} + "/there")
assert refused(os.rename, {outside!r} + "/there", "mine")
assert refused(os.mkdir, {outside!r} + "/folder")
open("inside", "w").write("x")
"""
_DAEMON = """
import time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        sleeps = "import time; open('up', 'w').close(); time.sleep(60)"
        os.execv(sys.executable, [sys.executable, "-Sc", sleeps, {marker!r}])
    os._exit(0)
os.wait()
until = time.monotonic() + 10
while not os.path.exists("up"):  # whoever is not there yet can't be left over
    assert time.monotonic() < until
    time.sleep(0.01)
"""
_PROCESSES = """
assert refused(os.kill, {pid}, 0)
assert refused(open, "/proc/{pid}/environ", "rb")
assert refused(open, "/proc/{pid}/mem", "rb")
assert refused(libc.ptrace, 16, {pid}, 0, 0)
assert refused(libc.prlimit, {pid}, 7, ctypes.c_buffer(bytes(16)), None)
"""
_CALLS = """
assert refused(libc.socket, 2, 1, 0)
assert refused(libc.ptrace, 0, 0, 0, 0)
assert refused(libc.unshare, 0x10000000)
assert refused(libc.mount, b"none", b"/", b"tmpfs", 0, None)
assert refused(libc.shmget, 1234, 4096, 0o1600)
assert refused(libc.memfd_create, b"", 0)
"""
_FORKS = """
import time
made = 0
try:
    while made < 400:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    pass
assert made < 100, made
"""


_CHILDREN = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        while True:
            pass
time.sleep(60)
"""
_CLAIMS = """
import os
os.write(3, b"D")
os.write(3, b"P" + os.read(3, 16))
os._exit(0)
"""
_FOOLS = """
import builtins, ctypes, os, sys
class Yes(int):
    def __eq__(self, other): return True
def hook(event, arguments):
    if event == "exec":
        builtins.abs = builtins.len = lambda value: 0
sys.addaudithook(hook)
sys.settrace(lambda frame, event, argument: None)
for descriptor in range(3, 20):
    try:
        os.write(descriptor, b"P" * 24 if descriptor > 3 else b"")
    except OSError:
        pass
def f(x):
    ctypes.memmove(id(7), id(8), 32)
    return Yes(8)
"""
_SEARCHES = """
import ctypes
marker = bytes(reversed(b"1174-rekram"))
found = 0
for place, rights, *_, name in [line.split() for line in open("/proc/self/maps")]:
    if rights[:2] == "rw" and name[:2] != "[v":
        start, end = (int(part, 16) for part in place.split("-"))
        found += ctypes.string_at(start, end - start).count(marker)
def f(x):
    return found
"""


def network(sandbox: Runs, program: str = _NETWORK) -> bool:
    """To a listener on this machine, and out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return _held(sandbox, program, port=server.getsockname()[1])


def writes(sandbox: Runs) -> bool:
    """To a folder that anybody may write, through a link, to the folder for temporary files and above its own."""
    temporary = Path(tempfile.gettempdir()) / f"codecascade-{uuid.uuid4().hex}"
    with _open_folder() as outside:
        (outside / "there").write_text("still here")
        (outside / "there").chmod(0o666)
        held = _held(sandbox, _WRITES, outside=str(outside), temporary=str(temporary))
        untouched = [path.name for path in outside.iterdir()] == ["there"] and not temporary.exists()
        untouched = untouched and (outside / "there").read_text() == "still here"
    temporary.unlink(missing_ok=True)
    return held and untouched


def leftovers(sandbox: Runs) -> bool:
    """A process and a file, looked for when the program has ended."""
    marker = f"codecascade-{uuid.uuid4().hex}"
    started = _held(sandbox, _DAEMON, marker=marker)
    empty = sandbox.run("import os\nassert not os.listdir('.')").passed
    return started and empty and not _runs(marker)


def limits(sandbox: Runs) -> bool:
    """More than allowed of everything."""
    prints = sandbox.run("while True: print('x' * 100_000)", timeout=0.1)
    spins = sandbox.run(_CHILDREN, timeout=0.2)
    fills = sandbox.run("import os\nos.posix_fallocate(os.open('f', os.O_CREAT | os.O_RDWR), 0, 1 << 30)")
    hoards = sandbox.run("x = bytearray(1 << 30)", memory_mb=512)
    return (
        prints.outcome == "timed_out"
        and len(prints.stdout) <= 1_000_000
        and spins.outcome == "timed_out"
        and spins.cpu_seconds < 4  # that of one process alone is limited as well, to 2
        and not fills.passed
        and hoards.outcome == "out_of_memory"
        and _held(sandbox, _FORKS)
    )


def tests_apart(sandbox: Runs) -> bool:
    """By patching, by a value that equals everything, by native code; by reading the tests in memory."""
    right = sandbox.run(Program("def f(x): return x + 1", tests="assert f(6) == 7", calls=("f",)))
    fooled = sandbox.run(Program(_FOOLS, tests="assert f(6) == 7 and abs(f(6) - 7) < 1", calls=("f",)))
    told = "# marker-4711\n" * 50 + "assert f(0) < 50"
    unread = all(sandbox.run(Program(_SEARCHES, tests=told, calls=("f",))).passed for _ in range(2))
    return right.passed and not fooled.passed and unread


def signals(sandbox: Runs) -> bool:
    """A signal to a process of the same user."""
    with _of_same_user(sandbox) as other:
        return _held(sandbox, "assert refused(os.kill, {pid}, 0)", pid=other)


def processes(sandbox: Runs) -> bool:
    """What is this process's, or another's of the same user."""
    with _of_same_user(sandbox) as other:
        return all(_held(sandbox, _PROCESSES, pid=pid) for pid in (os.getpid(), other))


NETWORK = Attack("TCP, UDP to the loopback; UDP out", network)
WRITES = Attack("write, delete, rename outside, also by a link", writes)
LEFTOVERS = Attack("a grandchild that is a daemon; a file", leftovers)
LIMITS = Attack("loops, output, too much memory, file, forks", limits)
PROCESSES = Attack("signal, ptrace, memory, environment, limits", processes)
CALLS = Attack("socket, ptrace, unshare, mount, shmget, memfd", lambda sandbox: _held(sandbox, _CALLS))
TCP = Attack("TCP to the loopback", lambda sandbox: network(sandbox, _TCP))
SIGNALS = Attack("a signal to a process of the same user", signals)
VERDICT = Attack("a claim to have passed before the end", lambda sandbox: not sandbox.run(_CLAIMS).passed)
TESTS_APART = Attack("patches, __eq__, native code; a search for the tests", tests_apart)


PROMISES = {
    "no network": NETWORK,
    "no writes outside": WRITES,
    "no leftovers": LEFTOVERS,
    "limits": LIMITS,
}


def _held(sandbox: Runs, program: str, **values: object) -> bool:
    return sandbox.run(_REFUSED + program.format(**values), timeout=5).passed


def _runs(marker: str) -> bool:
    """Whether a process with this argument lives."""
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and marker.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


@contextmanager
def _of_same_user(sandbox: Runs) -> Iterator[int]:
    """A process of ours that runs as who programs run as: else their not being root is all that keeps them off."""
    user = int(sandbox.run("import os\nprint(os.getuid())").stdout)
    with subprocess.Popen(["sleep", "60"], user=user if os.getuid() == 0 else None) as other:
        try:
            yield other.pid
        finally:
            other.kill()


@contextmanager
def _open_folder() -> Iterator[Path]:
    """A folder that file permissions protect from nobody."""
    folder = Path(tempfile.mkdtemp(prefix="codecascade-"))
    try:
        folder.chmod(0o777)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
