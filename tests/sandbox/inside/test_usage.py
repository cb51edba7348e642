"""CPU time and memory of processes, counted from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from codecascade.sandbox.inside.usage import ResourceUsage


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
