"""Programs that behave, programs that fail, and programs that attack."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codecascade.errors import UserError
from codecascade.sandbox import sandbox as module
from codecascade.sandbox.outcome import Limits, Outcome
from codecascade.sandbox.sandbox import Sandbox, best_confinement

pytestmark = pytest.mark.skipif(best_confinement() == "none", reason="this machine can't confine programs")


@pytest.fixture(scope="module", params=["namespaces", "bubblewrap", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(confinement=request.param) as box:
        if box.run("pass").outcome == "not_started":
            pytest.skip(f"this machine does not offer {request.param}")
        yield box


@pytest.mark.parametrize(
    ("program", "verdict", "exception"),
    [
        ("x = 1 + 1\nassert x == 2", "passed", None),
        ("assert 1 == 2, 'not so'", "failed", "AssertionError: not so"),
        ("raise KeyError('k')", "failed", "KeyError: 'k'"),
        ("def f(:", "failed", "SyntaxError"),
        ("import sys\nsys.exit(0)", "failed", "SystemExit: 0"),
        ("import os\nos._exit(0)", "failed", "left before its end"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "killed", "signal 9"),
        ("while True: pass", "timed_out", "CPU"),
        ("x = bytearray(10**12)", "out_of_memory", "MemoryError"),
        ("def f(n): return f(n + 1)\nf(0)", "failed", "RecursionError"),
        ("import math\nmath.factorial(10**8)", "timed_out", "CPU"),
        ("'\\ud800'.encode()", "failed", "UnicodeEncodeError"),
        ("import os\nos.closerange(3, 1000)\nraise ValueError(1)", "failed", None),
        ("import os\nif os.fork() == 0: raise ValueError('a child has no say')", "passed", None),
    ],
)
def test_verdicts(sandbox: Sandbox, program: str, verdict: str, exception: str | None) -> None:
    outcome = sandbox.run(program, timeout=1)
    assert outcome.outcome == verdict, outcome
    if exception is not None:
        assert exception in (outcome.exception or "")


def test_output_and_time_are_reported(sandbox: Sandbox) -> None:
    outcome = sandbox.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsum(range(3_000_000))")
    assert (outcome.stdout, outcome.stderr) == ("out\n", "err\n")
    assert 0 < outcome.cpu_seconds < outcome.wall_seconds + 0.5


def test_output_is_cut(sandbox: Sandbox) -> None:
    outcome = sandbox.run("while True: print('x' * 10_000)", timeout=0.5)
    assert outcome.outcome != "passed"
    assert len(outcome.stdout) == Limits().output_bytes


@pytest.mark.parametrize(
    "attack",
    [
        "open({outside!r} + '/written', 'w')",
        "import os\nos.symlink({outside!r}, 'link')\nopen('link/written', 'w')",
        "import os\nos.unlink({outside!r} + '/there')",
        "import os\nos.rename({outside!r} + '/there', 'mine')",
        "open(os.path.expanduser('~root') + '/written', 'w') if (os := __import__('os')) else None",
        "open('/tmp/codecascade-was-here', 'w')",
        "import socket\nsocket.create_connection(('127.0.0.1', {port}))",
        "import socket\nsocket.socket(socket.AF_UNIX)",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}')",
        "import ctypes, os\nassert ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0",
        "import ctypes\nassert ctypes.CDLL(None).ptrace(16, {pid}, 0, 0) == 0",
        "import ctypes\nassert ctypes.CDLL(None).mount(b'none', b'/', b'tmpfs', 0, None) == 0",
        "open('/proc/{pid}/mem', 'rb').read(1)",
        "open('/proc/{pid}/environ', 'rb').read()",
        "import os\nos.mknod('disk', 0o60600, os.makedev(8, 0))\nopen('disk', 'rb')",
        "import os\nos.chroot('.')",
        "with open('big', 'wb') as f:\n    for _ in range(200): f.write(bytes(1 << 20))",
    ],
)
def test_attacks_fail(sandbox: Sandbox, attack: str, tmp_path: Path) -> None:
    import socket

    (tmp_path / "there").write_text("still here")
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = attack.format(outside=str(tmp_path), pid=os.getpid(), port=server.getsockname()[1])
        outcome = sandbox.run(program, timeout=2)
    assert not outcome.passed, outcome
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert not Path("/tmp/codecascade-was-here").exists()


def test_processes_are_limited_and_leave_nothing(sandbox: Sandbox) -> None:
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    program = (
        "import os, subprocess, sys, time\n"
        "made = 0\n"
        "for _ in range(200):\n"
        "    try:\n"
        "        pid = os.fork()\n"
        "    except OSError:\n"
        "        break\n"
        "    if pid == 0:\n"
        "        os.setsid()\n"
        f"        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)', '{marker}'])\n"
        "    made += 1\n"
        "print(made)"
    )
    outcome = sandbox.run(program, timeout=5)
    assert outcome.passed, outcome
    assert 0 < int(outcome.stdout) <= Limits().processes
    assert marker not in subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout


def test_sleeping_ends_at_the_wall_clock(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "wall_seconds", 1.0)
    outcome = sandbox.run("import time\ntime.sleep(1000)", timeout=5)
    assert outcome.outcome == "timed_out"
    assert "clock" in (outcome.exception or "")


def test_signals_do_not_reach_outside() -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        Sandbox().run(f"import os\nos.kill({sleeper.pid}, 9)")
        assert sleeper.poll() is None
    finally:
        sleeper.send_signal(signal.SIGKILL)
        sleeper.wait()


def test_environment_is_empty(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    outcome = sandbox.run("import os\nprint(sorted(os.environ))")
    assert "SECRET_KEY" not in outcome.stdout


def test_run_many_keeps_the_order(sandbox: Sandbox) -> None:
    programs = [f"import time\ntime.sleep({0.05 * (i % 3)})\nprint({i})" for i in range(12)]
    assert [int(outcome.stdout) for outcome in sandbox.run_many(programs)] == list(range(12))


def test_strict_refuses_where_nothing_confines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "best_confinement", lambda: "none")
    with pytest.raises(UserError, match="--sandbox=weak"):
        Sandbox()
    weak = Sandbox("weak")
    assert weak.run("print(1)").passed
    assert weak.run("while True: pass", timeout=1).outcome == "timed_out"


def test_a_claim_without_the_token_counts_for_nothing() -> None:
    forged = (
        "import os\n"
        "for descriptor in range(3, 50):\n"
        "    try:\n"
        '        os.write(descriptor, b\'{"verdict": "passed", "token": "guess"}\\n\')\n'
        "    except OSError:\n"
        "        pass\n"
        "os._exit(0)"
    )
    outcome = Sandbox().run(forged)
    assert outcome == Outcome(
        "failed",
        "claimed to have passed before its end",
        cpu_seconds=outcome.cpu_seconds,
        wall_seconds=outcome.wall_seconds,
    )
