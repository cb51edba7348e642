"""Programs that attack: what lies outside, other processes, the limits, the harness."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from pathlib import Path

import pytest

from codecascade.sandbox.inside.kernel import seccomp
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command
from codecascade.sandbox.sandbox import Sandbox


@pytest.mark.parametrize(
    "attack",
    [
        "open({outside!r} + '/written', 'w')",
        "import os\nos.symlink({outside!r}, 'link')\nopen('link/written', 'w')",
        "import os\nos.symlink({outside!r} + '/there', 'link')\nopen('link', 'a').write('x')",
        "import os\nos.link({outside!r} + '/there', 'mine')\nopen('mine', 'a').write('x')",
        "import os\nos.unlink({outside!r} + '/there')",
        "import os\nos.rename({outside!r} + '/there', 'mine')",
        "import os\nos.chmod({outside!r} + '/there', 0)\nopen({outside!r} + '/there', 'w')",
        "import os\nos.truncate({outside!r} + '/there', 0)",
        "import os\nos.mkfifo({outside!r} + '/fifo')",
        "import os\nopen(os.path.expanduser('~root') + '/written', 'w')",
        "open('/tmp/codecascade-was-here', 'w')",
        "import sys\nopen(sys.executable, 'ab')",
        "import os\nopen(os.__file__, 'ab')",
        "import socket\nsocket.create_connection(('127.0.0.1', {port}))",
        "import socket\nsocket.create_connection(('192.0.2.1', 80), 1)",
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
        "import socket\nsocket.socket(socket.AF_UNIX)",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}')",
        "import ctypes, os\nassert ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0",
        "import ctypes\nassert ctypes.CDLL(None).syscall(56, 0x10000000 | 17, 0, 0, 0, 0) >= 0",
        "import ctypes\nassert ctypes.CDLL(None).ptrace(16, {pid}, 0, 0) == 0",
        "import ctypes\nassert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0",
        "import ctypes\nassert ctypes.CDLL(None).mount(b'none', b'/', b'tmpfs', 0, None) == 0",
        "import ctypes\nassert ctypes.CDLL(None).umount2(b'.', 2) == 0",
        "import ctypes\nassert ctypes.CDLL(None).shmget(77, 4096, 0o1600) >= 0",
        "import os\nos.memfd_create('nobody counts it')",
        "import resource\nresource.prlimit({pid}, resource.RLIMIT_CORE, (0, 0))",
        "import os, resource\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
        "import os\nopen('/proc/{pid}/mem', 'rb').read(1)",
        "import os\nopen('/proc/{pid}/environ', 'rb').read()",
        "import os\nos.listdir('/proc/{pid}/fd')",
        "import os\nopen('/proc/1/mem', 'rb').read(1)",
        "import os\nopen('/proc/%d/environ' % os.getppid(), 'rb').read()",
        "import os\nopen('/proc/%d/fd/3' % os.getppid(), 'rb').read(1)",
        "import os\nos.chdir('/proc/1/root')",
        "open('/proc/sys/kernel/core_pattern', 'w')",
        "open('/proc/sysrq-trigger', 'w')",
        "import os\nos.kill({pid}, 0)",
        "import os\nos.setuid(0)\nopen('/etc/shadow')",
        "open('/etc/shadow').read()",
        "import os\nos.mknod('disk', 0o60600, os.makedev(8, 0))\nopen('disk', 'rb')",
        "import os\nos.chroot('.')",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
        "with open('big', 'wb') as f:\n    for _ in range(200): f.write(bytes(1 << 20))",
        "for i in range(10):\n    with open(f'big{{i}}', 'wb') as f: f.write(bytes(60 << 20))",
        "for i in range(100_000): open(str(i), 'w').close()",
    ],
)
def test_attacks_fail(sandbox: Sandbox, attack: str, tmp_path: Path) -> None:
    if sandbox.confinement == "landlock" and attack.startswith("for "):
        pytest.skip("without a file system of its own, only single files are limited")
    if sandbox.confinement == "landlock" and "/fd'" in attack and os.getuid() == 0:
        pytest.skip("whoever may read all files may list descriptors, though not open them")
    outside = tmp_path
    outside.chmod(0o777)
    (outside / "there").write_text("still here")
    (outside / "there").chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = attack.format(outside=str(outside), pid=os.getpid(), port=server.getsockname()[1])
        outcome = sandbox.run(program, timeout=2)
    assert not outcome.passed, outcome
    assert [path.name for path in outside.iterdir()] == ["there"]
    assert (outside / "there").read_text() == "still here"
    assert not Path("/tmp/codecascade-was-here").exists()
    assert sandbox.run("pass").passed


def test_memory_of_all_processes_together_is_limited(sandbox: Sandbox) -> None:
    program = (
        "import os, time\n"
        "for _ in range(8):\n"
        "    if os.fork() == 0: break\n"
        "x = bytearray(os.urandom(1 << 20)) * 60\n"
        "time.sleep(30)"
    )
    outcome = sandbox.run(program, memory_mb=200, timeout=5)
    assert outcome.outcome == "out_of_memory", outcome


def test_memory_that_is_shared_and_not_resident_is_limited(sandbox: Sandbox) -> None:
    program = (
        "import mmap, os, time\n"
        "for _ in range(6):\n"
        "    if os.fork() == 0: break\n"
        "shared = mmap.mmap(-1, 50 << 20)\n"
        "for place in range(0, len(shared), 4096): shared[place] = 1\n"
        "shared.madvise(mmap.MADV_DONTNEED)\n"
        "time.sleep(30)"
    )
    outcome = sandbox.run(program, memory_mb=200, timeout=5)
    assert outcome.outcome == "out_of_memory" and "shared" in (outcome.exception or ""), outcome


def test_processor_time_that_no_parent_asks_for_is_limited(sandbox: Sandbox) -> None:
    """The kernel forgets what children used whose parent ignores their end."""
    program = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "while True:\n"
        "    if os.fork() == 0:\n"
        "        while time.process_time() < 0.25: pass\n"
        "        os._exit(0)\n"
        "    try: os.wait()\n"
        "    except ChildProcessError: pass"
    )
    outcome = sandbox.run(program, timeout=0.4)
    assert outcome.outcome == "timed_out" and "CPU" in (outcome.exception or ""), outcome


def test_processor_time_of_all_processes_together_is_limited(sandbox: Sandbox) -> None:
    program = "import os\nfor _ in range(4): os.fork()\nwhile True: pass"
    outcome = sandbox.run(program, timeout=0.4)
    assert outcome.outcome == "timed_out" and outcome.cpu_seconds < 4


def test_a_fork_bomb_ends(sandbox: Sandbox) -> None:
    program = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert sandbox.run(program, timeout=0.3).outcome == "timed_out"
    assert sandbox.run("pass").passed


def test_processes_are_limited_and_leave_nothing(sandbox: Sandbox) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    program = (
        "import os, sys\n"
        "made = 0\n"
        "for _ in range(200):\n"
        "    try:\n"
        "        pid = os.fork()\n"
        "    except OSError:\n"
        "        break\n"
        "    if pid == 0:\n"
        "        os.setsid()\n"
        "        if made < 4:\n"
        f"            os.execv(sys.executable, [sys.executable, '-Sc', 'import time; time.sleep(60)', '{marker}'])\n"
        "        import time; time.sleep(60)\n"
        "    made += 1\n"
        "print(made)"
    )
    outcome = sandbox.run(program, timeout=5)
    assert outcome.passed, outcome
    assert 0 < int(outcome.stdout) <= Limits().processes
    assert not running(marker)


def running(marker: str) -> bool:
    """Whether a process with this argument lives."""
    return marker in subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout


def test_signals_do_not_reach_outside(best: Sandbox) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        best.run(f"import os\nos.kill({sleeper.pid}, 9)")
        best.run("import os\nos.kill(-1, 9)")
        best.run("import os\nos.kill(0, 9)")
        best.run("import os\nos.kill(os.getppid(), 9)\nos.kill(1, 9)")
        assert sleeper.poll() is None
        assert best.run("pass").passed
    finally:
        sleeper.send_signal(signal.SIGKILL)
        sleeper.wait()


def test_a_folder_as_deep_as_it_goes_is_removed(sandbox: Sandbox) -> None:
    # 6,000 bytes of path, more than the kernel takes in one call.
    name = "d" * 200
    program = (
        f"import os\nfor _ in range(30):\n    os.mkdir('{name}')\n    os.chdir('{name}')\nos.chmod('.', 0)"
    )
    assert sandbox.run(program, timeout=5).passed
    assert sandbox.run("import os\nassert os.listdir('.') == []").passed


def test_a_spoilt_scratch_folder_is_made_new(sandbox: Sandbox) -> None:
    for spoil in ("os.chmod('.', 0)", "os.symlink('/etc', 'passwd')", "os.mkdir('x', 0)", "os.mkfifo('f')"):
        sandbox.run(f"import os\n{spoil}")
        assert sandbox.run("import os\nassert os.listdir('.') == []\nopen('x', 'w')").passed


HARNESS = """
import sys, time
from codecascade.sandbox.sandbox import Sandbox
box = Sandbox("weak", workers=1, confinement={kind!r})
assert box.run("open('left', 'w').write('x')").passed
print("ready", flush=True)
box.run('''
import os, sys
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-Sc", "import time; time.sleep(60)", {marker!r}])
        os._exit(0)
os.execv(sys.executable, [sys.executable, "-Sc", "import time; time.sleep(60)", {marker!r}])
''', timeout=100)
"""


def test_when_the_harness_is_killed_nothing_is_left(sandbox: Sandbox) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    script = textwrap.dedent(HARNESS).format(kind=sandbox.confinement, marker=marker)
    root = str(Path(__file__).parents[2])
    # A folder of its own: other tests make and remove scratch folders beside this one's.
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "PYTHONPATH": root, "TMPDIR": scratch}
        harness = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
        assert harness.stdout is not None and harness.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 60
        while not running(marker) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert bool(os.listdir(scratch)) == (
            sandbox.confinement == "landlock"
        )  # the others have their own file system
        harness.kill()
        harness.wait()
        while (running(marker) or os.listdir(scratch)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not running(marker) and not os.listdir(scratch)


def test_every_refused_call_is_refused() -> None:
    """By number, whatever library function there is for it."""
    if not seccomp.supported():
        pytest.skip("the filter does not know this processor")
    program = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"for number in {seccomp.refused_calls()}:\n"
        "    assert libc.syscall(number, 0, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == 1, number\n"
        "assert libc.getppid() >= 0 and libc.getuid() >= 0"
    )
    with Sandbox("weak", workers=1, confinement="none", layers=("seccomp",)) as filtered:
        outcome = filtered.run(program)
        assert outcome.passed, outcome


@pytest.mark.skipif(os.getuid() != 0, reason="only root reads what others may not")
def test_who_reads_a_private_interpreter_reads_no_secrets(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "private" / "module").write_text("readable")
    folders = (str(tmp_path / "private"),)
    there = sandbox.run_command(Command(("cat", f"{folders[0]}/module"), folders=folders))
    assert there.stdout == "readable", there
    secret = sandbox.run_command(Command(("cat", "/etc/shadow"), folders=folders))
    assert secret.outcome == "failed" and not secret.stdout, secret


def test_programs_hold_no_descriptor_of_the_harness(sandbox: Sandbox) -> None:
    """Also where the harness has so many open that the worker's own get high numbers."""
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(400)]
    try:
        with Sandbox("weak", workers=1, confinement=sandbox.confinement) as crowded:
            program = (
                "import os\n"
                "held = []\n"
                "for n in range(5000):\n"
                "    try: os.fstat(n)\n"
                "    except OSError: continue\n"
                "    held.append(n)\n"
                "assert held == [0, 1, 2, 3], held"
            )
            outcome = crowded.run(program)
            with crowded.start(Command(("cat",))) as service:
                service.stdin.close()
                assert service.stdout.read() == b""
    finally:
        for descriptor in many:
            os.close(descriptor)
    assert outcome.passed, outcome
