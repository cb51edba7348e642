"""What reaches the machine past the obvious: its memory by way of the kernel's, its clock, its files, its sockets."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from codecascade.sandbox import attack_programs, attacks
from codecascade.sandbox.inside.kernel import processor_time, seccomp
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command, Program
from codecascade.sandbox.sandbox import Sandbox

ORDINARY = """
import asyncio, fcntl, multiprocessing, os, shutil, socket, sqlite3, subprocess, sys, threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

def square(x):
    return x * x

async def both():
    process = await asyncio.create_subprocess_exec("echo", "sub", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out, await asyncio.gather(*(asyncio.to_thread(square, n) for n in range(3)))

assert asyncio.run(both()) == (b"sub\\n", [0, 1, 4])
if {locks}:
    with multiprocessing.Pool(2) as pool:
        assert pool.map(square, range(4)) == [0, 1, 4, 9]
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(square, range(3))) == [0, 1, 4]
ours, theirs = multiprocessing.Pipe()
ours.send([1])
assert theirs.recv() == [1]
a, b = socket.socketpair()
a.sendall(b"x")
assert b.recv(1) == b"x"
socket.send_fds(a, [b"f"], [0])
_, fds, _, _ = socket.recv_fds(b, 1, 1)
assert len(fds) == 1
assert subprocess.run("echo one | tr o 0", shell=True, capture_output=True).stdout == b"0ne\\n"
database = sqlite3.connect("file.db")
database.execute("create table t (x)")
database.executemany("insert into t values (?)", [(n,) for n in range(3)])
database.commit()
assert sqlite3.connect("file.db").execute("select sum(x) from t").fetchone() == (3,)
with open("locked", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
shutil.copy2("file.db", "copy.db")
shutil.copytree(".", "../" + os.path.basename(os.getcwd()) + "/tree", ignore=lambda *_: ["tree"])
assert os.path.getsize("copy.db") == os.path.getsize("file.db") == os.path.getsize("tree/file.db")
os.chmod("locked", 0o600)
"""


def test_ordinary_programs_go_on_working(sandbox: Sandbox) -> None:
    # Locks that processes share are files in /dev/shm, which Landlock keeps from programs.
    outcome = sandbox.run(ORDINARY.replace("{locks}", str(sandbox.confinement != "landlock")))
    assert outcome.passed, outcome


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_s_children_are_waited_for(sandbox: Sandbox) -> None:
    script = "trap 'true' CHLD; sleep 0.05 & wait; (exit 3) & wait $!; echo $?; cat <(echo in) | tr i I"
    assert sandbox.run_command(Command(("bash", "-c", script))).stdout == "3\nIn\n"


def test_calls_that_hide_memory_look_absent() -> None:
    if not seccomp.supported():
        pytest.skip("the filter does not know this processor")
    program = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"for number in {seccomp.absent_calls()}:\n"
        "    assert libc.syscall(number, 0, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == 38, number"
    )
    with Sandbox("weak", workers=1, confinement="none", layers=("seccomp",)) as filtered:
        assert filtered.run(program).passed


def test_memory_in_sockets_counts(sandbox: Sandbox) -> None:
    outcome = sandbox.run(attack_programs.SOCKETS, memory_mb=100, timeout=5)
    assert outcome.outcome == "out_of_memory", outcome
    few = "import socket, time\nheld = [socket.socketpair() for _ in range(20)]\ntime.sleep(0.1)"
    assert sandbox.run(few, memory_mb=100).passed


def test_sockets_hold_no_more_than_usual(sandbox: Sandbox) -> None:
    program = (
        "import socket\n"
        "a, b = socket.socketpair()\n"
        "for option in (socket.SO_SNDBUF, 32):\n"
        "    try:\n"
        "        a.setsockopt(socket.SOL_SOCKET, option, 1 << 20)\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    raise RuntimeError(1)"
    )
    assert sandbox.run(program).passed


PAGE_TABLES = """
import mmap, time
size = 600 << 30
held = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, mmap.PROT_READ)
for place in range(0, size, 2 << 20):
    held[place]
time.sleep(60)
"""


def test_page_tables_count_where_address_space_is_free(sandbox: Sandbox) -> None:
    """A page of zeros costs nothing; finding it costs another page."""
    limits = Limits(memory_mb=300, address_space=False, cpu_seconds=60)
    outcome = sandbox.run_command(Command((sys.executable, "-c", PAGE_TABLES), limits=limits))
    assert outcome.outcome == "out_of_memory", outcome


CHILDREN = """
import ctypes, os, signal, struct, time
{how}
until = time.monotonic() + 10
while time.monotonic() < until:
    if os.fork() == 0:
        if {twice} and os.fork():
            os._exit(0)
        while time.process_time() < 0.008:
            pass
        os._exit(0)
    os.waitpid(-1, 0) if {twice} else time.sleep(0.008)
"""
NO_WAIT = (
    "action = struct.pack('QQQQ', 0, 2 | 0x04000000, 0, 0)\n"
    "assert ctypes.CDLL(None).syscall(13, 17, ctypes.create_string_buffer(action), None, 8) == 0"
)


@pytest.mark.skipif(not processor_time.available(), reason="the kernel counts for nobody here")
@pytest.mark.parametrize(
    ("how", "twice"),
    [
        ("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", False),
        pytest.param(
            NO_WAIT, False, marks=pytest.mark.skipif(seccomp.MACHINE != "x86_64", reason="its number")
        ),
        ("", True),
    ],
)
def test_time_of_children_that_nobody_waits_for(sandbox: Sandbox, how: str, twice: bool) -> None:
    outcome = sandbox.run(CHILDREN.format(how=how, twice=twice), timeout=0.3)
    assert outcome.outcome == "timed_out" and 0.3 <= outcome.cpu_seconds < 0.6, outcome
    assert outcome.wall_seconds < 9


def test_a_kernel_that_does_not_count_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_time, "_OPEN", (9999, 9999))
    assert not processor_time.available() and not processor_time.start()
    processor_time.reset()
    assert processor_time.seconds() == 0


def test_a_harness_that_ignores_its_children_changes_nothing(sandbox: Sandbox) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    try:
        with Sandbox("weak", workers=1, confinement=sandbox.confinement) as box:
            program = (
                "import os, signal\n"
                "assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL\n"
                "assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())\n"
                "if os.fork() == 0: os._exit(5)\n"
                "assert os.waitstatus_to_exitcode(os.wait()[1]) == 5"
            )
            outcome = box.run(program)
            assert outcome.passed, outcome
            assert box.run("while True: pass", timeout=0.1).outcome == "timed_out"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("attack", ["network_and_sockets", "writes", "private_files"])
def test_attacks_from_every_kind(sandbox: Sandbox, attack: str) -> None:
    assert getattr(attacks, attack)(sandbox)


def test_words_sent_by_a_stream_stay_inside(sandbox: Sandbox) -> None:
    program = (
        "import socket\n"
        "for domain in (0, 2, 10, 16, 38):\n"
        "    try:\n"
        "        socket.socketpair(domain, socket.SOCK_STREAM)\n"
        "    except OSError:\n"
        "        continue\n"
        "    raise RuntimeError(domain)\n"
        "a, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)\n"
        "for call in (a.bind, a.connect):\n"
        "    try:\n"
        "        call('socket')\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    raise RuntimeError(1)"
    )
    outcome = sandbox.run(program)
    assert outcome.passed, outcome


def test_files_of_others_are_not_locked(sandbox: Sandbox) -> None:
    program = (
        "import fcntl, os\n"
        "file = open(os.__file__)\n"
        "for lock in (lambda: fcntl.flock(file, fcntl.LOCK_EX), lambda: fcntl.flock(file, fcntl.LOCK_SH),\n"
        "             lambda: fcntl.fcntl(file, 1024, fcntl.F_RDLCK), lambda: fcntl.fcntl(file, 1026, 1),\n"
        "             lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)):\n"
        "    try:\n"
        "        lock()\n"
        "    except OSError:\n"
        "        continue\n"
        "    raise RuntimeError('locked')"
    )
    assert sandbox.run(program).passed


def test_a_filter_holds_what_an_old_landlock_lets_through(tmp_path: Path) -> None:
    """Before its third version it let files be cut off that can't be written."""
    if not seccomp.supported():
        pytest.skip("the filter does not know this processor")
    (tmp_path / "mine").write_text("still here")
    (tmp_path / "mine").chmod(0o644)
    script = f"""
import os
from codecascade.sandbox.inside.kernel import seccomp, syscalls
syscalls.no_new_privileges()
seccomp.Filter(seccomp.program(holds_modes=True, holds_times=True, holds_length=True)).install()
path = {str(tmp_path / "mine")!r}
for change in (lambda: os.truncate(path, 0), lambda: os.open(path, os.O_RDONLY | os.O_TRUNC)):
    try:
        change()
    except PermissionError:
        continue
    raise SystemExit("cut off")
os.chmod(path, 0o777), os.utime(path, (1, 1)), os.chown(path, 1, 1)
assert open(path).read() == "still here"
assert open("new", "w").write("x") and open("new", "w").write("y")
"""
    root = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}
    )
    status = (tmp_path / "mine").stat()
    assert (status.st_mode & 0o777, status.st_uid) == (0o644, os.getuid()) and status.st_mtime > 1


def test_a_listener_of_the_host_hears_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        (tmp_path / "socket").chmod(0o777)
        listener.setblocking(False)
        program = (
            "import socket\n"
            "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            f"a.sendto(b'out', {str(tmp_path / 'socket')!r})"
        )
        assert not sandbox.run(Program(program)).passed
        with pytest.raises(BlockingIOError):
            listener.recv(9)
