"""CPU time and memory of processes, counted from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codecascade.sandbox.inside.kernel import processor_time
from codecascade.sandbox.inside.usage import ResourceUsage

# Shares 12 times 16 MB and keeps the first page of each.
SHARES = """
import ctypes, mmap
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
for _ in range({times}):
    place = libc.mmap(None, ctypes.c_size_t(16 << 20), 3, 0x21, -1, ctypes.c_long(0))
    ctypes.memset(place, 1, 16 << 20)
    assert libc.munmap(ctypes.c_void_p(place + 4096), ctypes.c_size_t((16 << 20) - 4096)) == 0
"""
# What another thread does, and then the first one ends.
LEFT = """
import ctypes, socket, threading, time
def work():
    global kept
    {work}
    print(flush=True)
    time.sleep(600)
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@contextmanager
def _program(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs the code, says so by a line, and stays."""
    code += "\nprint(flush=True)\nimport time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
            yield process
        finally:
            process.kill()


def test_cpu_time_is_that_of_the_processes_given_and_since_the_start() -> None:
    burn = "import time\nwhile time.process_time() < {}: pass"
    with _program(burn.format(1.5)):
        # Has ended before and does not count.
        pass
    usage = ResourceUsage(memory_mb=2048)
    with _program(burn.format(0.3)) as process:
        seconds, excess = usage.look(process.pid, [process.pid])
        assert 0.25 <= seconds < 1.2 and excess is None
    assert 0.25 <= usage.cpu_seconds() < 1.2


def test_time_of_a_process_that_is_gone_is_not_lost() -> None:
    usage = ResourceUsage(memory_mb=2048)
    with _program("import time\nwhile time.process_time() < 0.3: pass") as process:
        usage.look(process.pid, [process.pid])
    before = usage.cpu_seconds()
    assert usage.look(os.getpid(), [process.pid])[0] >= before >= 0.25


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("kept = b'x' * (80 << 20)", "more than 64 MB of memory in use"),
        ("import mmap\nkept = mmap.mmap(-1, 80 << 20)", "more than 64 MB of shared memory"),
        ("import mmap\nkept = mmap.mmap(-1, 80 << 20, flags=mmap.MAP_PRIVATE)", None),
    ],
    ids=["resident", "shared, untouched", "reserved only"],
)
def test_too_much_memory_is_reported_with_its_kind(code: str, why: str | None) -> None:
    usage = ResourceUsage(memory_mb=64)
    with _program(code) as process:
        assert usage.look(process.pid, [process.pid])[1] == why


def test_a_dead_orphan_is_waited_for_and_the_first_process_is_not() -> None:
    usage = ResourceUsage(memory_mb=2048)
    orphan, first = (os.posix_spawn("/bin/true", ["true"], {}) for _ in range(2))
    for pid in (orphan, first):
        deadline = time.monotonic() + 120
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    usage.look(first, [orphan, first])
    with pytest.raises(ChildProcessError):
        os.waitpid(orphan, os.WNOHANG)
    assert os.waitpid(first, os.WNOHANG)[0] == first


@pytest.mark.parametrize("tells", [True, False], ids=["the kernel tells", "it tells nobody"])
def test_shared_memory_counts_as_long_as_a_page_is_mapped(
    monkeypatch: pytest.MonkeyPatch, tells: bool
) -> None:
    def stat(path: str | Path, **options: bool) -> os.stat_result:
        if "/map_files/" in str(path) and not tells:
            raise PermissionError
        return look_up(path, **options)

    look_up = os.stat
    monkeypatch.setattr(os, "stat", stat)
    usage = ResourceUsage(memory_mb=64)
    with _program(SHARES.format(times=12)) as process, _program(SHARES.format(times=0)) as other:
        assert usage.look(process.pid, [process.pid])[1] == "more than 64 MB of shared memory"
        # That of the machine is nothing that a program without any has to answer for.
        assert usage.look(other.pid, [other.pid])[1] is None


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    "work", ["kept = b'x' * (80 << 20)", "kept = [socket.socketpair() for _ in range(250)]"]
)
def test_memory_of_a_process_whose_first_thread_has_ended(work: str, is_first: bool) -> None:
    usage = ResourceUsage(memory_mb=64)
    with _program(LEFT.format(work=work)) as process:
        _wait_for_the_end_of_the_first_thread(process.pid)
        found = usage.look(process.pid if is_first else 0, [process.pid])[1]
        assert found == "more than 64 MB of memory in use"


def test_cpu_time_of_a_process_whose_first_thread_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_time, "seconds", lambda: 0.0)
    usage = ResourceUsage(memory_mb=2048)
    with _program(LEFT.format(work="while time.process_time() < 0.3: pass")) as process:
        _wait_for_the_end_of_the_first_thread(process.pid)
        assert 0.25 <= usage.look(0, [process.pid])[0] < 1.2


def _wait_for_the_end_of_the_first_thread(pid: int) -> None:
    deadline = time.monotonic() + 120
    while b") Z " not in Path(f"/proc/{pid}/stat").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
