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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codecascade.sandbox.outcome import Outcome


class Runs(Protocol):
    """Whatever runs Python programs."""

    def run(self, program: str, /, *, timeout: float = ..., memory_mb: int = ...) -> Outcome: ...


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
_DATAGRAMS = """
import _socket
for kind in (_socket.SOCK_DGRAM, _socket.SOCK_RAW, _socket.SOCK_SEQPACKET, _socket.SOCK_STREAM):
    for send in ("sendto", "sendmsg", "connect"):
        for address in ({path!r}, {abstract!r}):
            try:
                end, _ = _socket.socketpair(_socket.AF_UNIX, kind)
                if send == "sendto":
                    end.sendto(b"out", address)
                elif send == "sendmsg":
                    end.sendmsg([b"out"], [], 0, address)
                else:
                    end.connect(address)
                    end.send(b"out")
            except OSError:
                pass
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
_CHANGES = """
there = {outside!r} + "/there"
for change in (
    lambda: os.chmod(there, 0o600),
    lambda: os.utime(there, (1, 1)),
    lambda: os.utime(there),
    lambda: os.setxattr(there, "user.attack", b"1"),
    lambda: os.truncate(there, 0),
    lambda: os.close(os.open(there, os.O_RDONLY | os.O_TRUNC)),
):
    try:
        change()  # it may say that it has: what counts is what has become of the file
    except OSError:
        pass
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
import _socket, fcntl
assert refused(_socket.socketpair, _socket.AF_UNIX, _socket.SOCK_DGRAM)
reading, writing = os.pipe()
page = ctypes.create_string_buffer(4096)
part = (ctypes.c_size_t * 2)(ctypes.addressof(page), 1)
assert refused(libc.vmsplice, writing, part, 1, 0)
with open(os.__file__, "rb") as of_others:
    assert refused(os.sendfile, writing, of_others.fileno(), 0, 1)
    assert refused(os.splice, of_others.fileno(), writing, 1)
    assert refused(fcntl.flock, of_others, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""
_PRIVATE = """
for path in {paths!r}:
    assert refused(os.open, path, os.O_RDONLY | os.O_NONBLOCK), path
"""
_IGNORED = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
until = time.monotonic() + 10
while time.monotonic() < until:
    if os.fork() == 0:
        while time.process_time() < 0.008:
            pass
        os._exit(0)
    time.sleep(0.008)
"""
_SOCKETS = """
import _socket, os, time
for _ in range(3):
    if os.fork() == 0:
        break
held = [_socket.socketpair() for _ in range(100)]
for pair in held:
    for end in pair:
        end.setblocking(False)
        try:
            while True:
                end.send(bytes(65536))
        except BlockingIOError:
            pass
time.sleep(60)
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


def network(sandbox: Runs, program: str = _NETWORK) -> bool:
    """To a listener on this machine, and out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return _held(sandbox, program, port=server.getsockname()[1])


def words(sandbox: Runs) -> bool:
    """As :func:`network`; and to sockets of this machine's own, by their path and by their abstract name."""
    abstract = f"\0codecascade-{uuid.uuid4().hex}"
    with _open_folder() as outside, ExitStack() as stack:
        path = str(outside / "socket")
        found = []
        for address in (path, abstract):
            found.append(stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)))
            found[-1].bind(address)
            found[-1].setblocking(False)
        os.chmod(path, 0o777)
        sandbox.run(_DATAGRAMS.format(path=path, abstract=abstract), timeout=5)
        return not any(map(_has_heard, found)) and network(sandbox)


def _has_heard(listener: socket.socket) -> bool:
    try:
        return bool(listener.recv(9))
    except BlockingIOError:
        return False


def private(sandbox: Runs) -> bool:
    """What ``/etc`` keeps from others, at any depth, and disks; as root, who could read them all."""
    paths = [str(path) for path in _kept_from_others(Path("/etc")) if not path.is_symlink()]
    paths += [str(path) for path in Path("/dev").iterdir() if path.is_block_device() or path.name == "kmsg"]
    if os.getuid() != 0:
        paths = [path for path in paths if not os.access(path, os.R_OK)]
    return _held(sandbox, _PRIVATE, paths=paths[:200])


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


def ignored(sandbox: Runs) -> bool:
    """Processor time of short-lived children whose end their parent ignores."""
    outcome = sandbox.run(_IGNORED, timeout=0.3)
    return outcome.outcome == "timed_out" and outcome.wall_seconds < 5


def writes(sandbox: Runs, program: str = _WRITES + _CHANGES) -> bool:
    """To a folder that anybody may write, through a link, to the folder for temporary files and above its own."""
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
    sends = sandbox.run(_SOCKETS, memory_mb=64)
    return (
        prints.outcome == "timed_out"
        and len(prints.stdout) <= 1_000_000
        and spins.outcome == "timed_out"
        and spins.cpu_seconds < 4  # that of one process alone is limited as well, to 2
        and not fills.passed
        and hoards.outcome == "out_of_memory"
        and sends.outcome == "out_of_memory"
        and _held(sandbox, _FORKS)
    )


def signals(sandbox: Runs) -> bool:
    """A signal to a process of the same user."""
    with _of_same_user(sandbox) as other:
        return _held(sandbox, "assert refused(os.kill, {pid}, 0)", pid=other)


def processes(sandbox: Runs) -> bool:
    """What is this process's, or another's of the same user."""
    with _of_same_user(sandbox) as other:
        return all(_held(sandbox, _PROCESSES, pid=pid) for pid in (os.getpid(), other))


NETWORK = Attack("TCP, UDP to the loopback; UDP out; host sockets", words)
WRITES = Attack("write, delete, rename, chmod outside, by a link", writes)
FILES = Attack("write, delete, rename outside, also by a link", lambda sandbox: writes(sandbox, _WRITES))
LEFTOVERS = Attack("a grandchild that is a daemon; a file", leftovers)
LIMITS = Attack("loops, output, too much memory, file, forks", limits)
PROCESSES = Attack("signal, ptrace, memory, environment, limits", processes)
CALLS = Attack(
    "socket, datagrams, ptrace, mount, memfd, splice, flock", lambda sandbox: _held(sandbox, _CALLS)
)
TCP = Attack("TCP to the loopback", lambda sandbox: network(sandbox, _TCP))
SIGNALS = Attack("a signal to a process of the same user", signals)
PRIVATE = Attack("read what /etc keeps from others; disks", private)
IGNORED = Attack("children that nobody waits for", ignored)
VERDICT = Attack("a claim to have passed before the end", lambda sandbox: not sandbox.run(_CLAIMS).passed)


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
