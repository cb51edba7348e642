"""What this machine confines, found out by attacking it: each layer alone, then all of them together.

Four promises are asked for (:data:`PROMISES`); with less, programs run only for those who say ``--sandbox=weak``.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.sandbox import Sandbox, best_confinement
from codecascade.sandbox.syscalls import landlock_version, seccomp_supported
from codecascade.sandbox.zone import Kind

Attack = Callable[[Sandbox], bool]
"""Whether the sandbox held."""

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
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", {marker!r}])
    os._exit(0)
open("left", "w").write("x")
os.wait()
"""
_PROCESSES = """
assert refused(os.kill, {pid}, 0)
assert refused(open, "/proc/{pid}/environ", "rb")
assert refused(open, "/proc/{pid}/mem", "rb")
assert refused(libc.ptrace, 16, {pid}, 0, 0)
"""
_CALLS = """
assert refused(libc.socket, 2, 1, 0)
assert refused(libc.ptrace, 0, 0, 0, 0)
assert refused(libc.unshare, 0x10000000)
assert refused(libc.mount, b"none", b"/", b"tmpfs", 0, None)
assert refused(libc.shmget, 1234, 4096, 0o1600)
"""
_SIGNALS = "assert refused(os.kill, {pid}, 0)"
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


def network(sandbox: Sandbox, program: str = _NETWORK) -> bool:
    """TCP and UDP to a listener on this machine, and out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return _held(sandbox, program, port=server.getsockname()[1])


def writes(sandbox: Sandbox) -> bool:
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


def leftovers(sandbox: Sandbox) -> bool:
    """A grandchild that has made itself a daemon, and a file."""
    marker = f"codecascade-{uuid.uuid4().hex}"
    started = _held(sandbox, _DAEMON, marker=marker)
    empty = sandbox.run("import os\nassert not os.listdir('.')").passed
    return started and empty and not _runs(marker)


def limits(sandbox: Sandbox) -> bool:
    """A loop without end, its output, and more memory, processes and bytes in a file than allowed."""
    prints = sandbox.run("while True: print('x' * 100_000)", timeout=0.1)
    fills = sandbox.run("import os\nos.posix_fallocate(os.open('f', os.O_CREAT | os.O_RDWR), 0, 1 << 30)")
    hoards = sandbox.run("x = bytearray(1 << 30)", memory_mb=512)
    return (
        prints.outcome == "timed_out"
        and len(prints.stdout) <= 1_000_000
        and not fills.passed
        and hoards.outcome == "out_of_memory"
        and _held(sandbox, _FORKS)
    )


def other_processes(sandbox: Sandbox) -> bool:
    """A signal to this process, its environment, its memory, ptrace."""
    return _held(sandbox, _PROCESSES, pid=os.getpid())


PROMISES: dict[str, Attack] = {
    "no network": network,
    "no writes outside": writes,
    "no leftovers": leftovers,
    "limits": limits,
}
_ATTACKED_WITH = {
    "no network": "TCP and UDP to a listener on the loopback, UDP out",
    "no writes outside": "write, unlink, rename, mkdir in an open folder, through a link, in the temporary folder",
    "no leftovers": "a grandchild that made itself a daemon, a file",
    "limits": "endless loop and output, 1 GiB file, 1 GiB of 512 MB memory, 400 processes",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``held`` is None where the layer is not there to be attacked."""

    name: str
    there: bool
    attack: str
    held: bool | None


@dataclass(frozen=True)
class Report:
    """What ``codecascade sandbox check`` shows."""

    confinement: Kind
    layers: list[Finding]
    promises: list[Finding]

    @property
    def strict(self) -> bool:
        """Whether all promises hold."""
        return all(finding.held for finding in self.promises)


def check() -> Report:
    """Attack each layer alone, then the best confinement as a whole. Takes some seconds."""
    layers = [
        _layer("network namespace", "namespaces", (), _ATTACKED_WITH["no network"], network),
        _layer("read-only root", "namespaces", (), _ATTACKED_WITH["no writes outside"], writes),
        _layer("PID namespace", "namespaces", (), _ATTACKED_WITH["no leftovers"], leftovers),
        _layer("bubblewrap", "bubblewrap", (), _ATTACKED_WITH["no writes outside"], writes),
        _layer(
            "seccomp",
            "none",
            ("seccomp",) if seccomp_supported() else None,
            "socket, ptrace, unshare, mount, shmget",
            lambda sandbox: _held(sandbox, _CALLS),
        ),
    ]
    version = landlock_version()
    for name, since, attacked_with, attack in (
        ("Landlock: files", 1, _ATTACKED_WITH["no writes outside"], writes),
        ("Landlock: TCP", 4, "TCP to a listener on the loopback", lambda sandbox: network(sandbox, _TCP)),
        (
            "Landlock: signals",
            6,
            "a signal to this process",
            lambda sandbox: _held(sandbox, _SIGNALS, pid=os.getpid()),
        ),
    ):
        layers.append(
            _layer(name, "none", ("landlock",) if version >= since else None, attacked_with, attack)
        )
    layers.append(_layer("child subreaper", "none", (), _ATTACKED_WITH["no leftovers"], leftovers))
    layers.append(_layer("resource limits, watch", "none", (), _ATTACKED_WITH["limits"], limits))
    kind = best_confinement()
    with Sandbox("weak", workers=1, confinement=kind) as sandbox:
        promises = [
            Finding(name, True, _ATTACKED_WITH[name], attack(sandbox)) for name, attack in PROMISES.items()
        ]
    return Report(kind, layers, promises)


def keeps_promises(sandbox: Sandbox) -> bool:
    """Whether a sandbox holds against every attack on the promises."""
    return all(attack(sandbox) for attack in PROMISES.values())


def _layer(
    name: str, kind: Kind, layers: tuple[str, ...] | None, attacked_with: str, attack: Attack
) -> Finding:
    if layers is None:
        return Finding(name, False, attacked_with, None)
    with Sandbox("weak", workers=1, confinement=kind, layers=layers) as sandbox:
        if sandbox.run("pass").outcome == "not_started":
            return Finding(name, False, attacked_with, None)
        return Finding(name, True, attacked_with, attack(sandbox))


def _held(sandbox: Sandbox, program: str, **values: object) -> bool:
    outcome: Outcome = sandbox.run(_REFUSED + program.format(**values), timeout=5)
    return outcome.passed


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
def _open_folder() -> Iterator[Path]:
    """A folder that file permissions protect from nobody."""
    folder = Path(tempfile.mkdtemp(prefix="codecascade-"))
    try:
        folder.chmod(0o777)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
