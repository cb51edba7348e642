"""A server's process ends with whoever wanted it, in every way that this can end, and so does what it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from codecascade.generation.served import guard, process
from codecascade.generation.served.process import ServerProcess
from codecascade.ground.errors import RunFailed

# A server with a worker in a session of its own, which no signal to its group reaches.
SERVER = """
import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
open(sys.argv[1], "w").write(f"{os.getpid()} {worker.pid}")
print("loading weights", flush=True)
time.sleep(600)
"""
SECONDS = 60.0


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def pids(file: Path) -> list[int]:
    assert soon(lambda: file.exists() and len(file.read_text().split()) == 2)
    return [int(pid) for pid in file.read_text().split()]


def server(folder: Path) -> list[str]:
    return [sys.executable, "-S", "-c", SERVER, str(folder / "pids")]


def test_closing_ends_all_of_it(tmp_path: Path) -> None:
    made = ServerProcess(server(tmp_path), environment=os.environ, log=tmp_path / "logs" / "vllm.log")
    found = pids(tmp_path / "pids")
    assert soon(lambda: made.last_lines(3) == ["loading weights"])
    made.check()
    made.close()
    assert not any(running(pid) for pid in found)
    made.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_when_its_owner_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    owner = f"""
import os, sys, time
from pathlib import Path
from codecascade.generation.served.process import ServerProcess
made = ServerProcess({server(tmp_path)!r}, environment=os.environ, log=Path({str(tmp_path / "log")!r}))
time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", owner], env=environment) as process_:
        found = pids(tmp_path / "pids")
        process_.send_signal(number)
    assert soon(lambda: not any(running(pid) for pid in found))


def test_it_ends_when_the_guard_is_killed(tmp_path: Path) -> None:
    made = ServerProcess(server(tmp_path), environment=os.environ, log=tmp_path / "log")
    leader, worker = pids(tmp_path / "pids")
    try:
        made._process.kill()
        assert soon(lambda: not running(leader))
    finally:
        made.close()
        # Nobody is left who knows of it; a server's own workers see that their leader is gone.
        os.kill(worker, signal.SIGKILL)


def test_the_end_of_the_log_tells_why_it_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of an earlier start\n")
    script = "import sys; print('a\\n\\nFree memory is less than desired\\x1b[0m'); sys.exit(3)"
    made = ServerProcess([sys.executable, "-S", "-c", script], environment=os.environ, log=log)
    with pytest.raises(RunFailed, match=r"(?s)status 3.*Free memory is less than desired") as error:
        made.wait_until(lambda: False, SECONDS)
    assert "earlier" not in str(error.value) and "\x1b" not in str(error.value)
    assert log.read_text().startswith("of an earlier start\n")
    made.close()


def test_one_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_POLL_SECONDS", 0.01)
    made = ServerProcess(server(tmp_path), environment=os.environ, log=tmp_path / "log")
    found = pids(tmp_path / "pids")
    said: list[str] = []
    with pytest.raises(RunFailed, match=r"does not answer after .* minutes \(server.ready_minutes\)"):
        made.wait_until(lambda: False, 0.2, said.append)
    assert said
    made.close()
    assert not any(running(pid) for pid in found)


def test_a_program_that_can_not_be_started(tmp_path: Path) -> None:
    made = ServerProcess([str(tmp_path / "none")], environment=os.environ, log=tmp_path / "log")
    with pytest.raises(RunFailed, match=r"(?s)status 127.*can't be started \(No such file"):
        made.wait_until(lambda: False, SECONDS)
    made.close()


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); open({!r}, 'w').close(); time.sleep(600)"
    )
    ready = tmp_path / "ready"
    command = [sys.executable, "-S", "-c", script.format(str(ready))]
    patched = f"""
import sys
sys.path.insert(0, {str(Path(guard.__file__).parent)!r})
import guard
guard.GRACE_SECONDS = 0.2
sys.exit(guard.main({command!r}))
"""
    with subprocess.Popen([sys.executable, "-S", "-c", patched], stdin=subprocess.PIPE) as process_:
        assert soon(ready.exists)
        assert process_.stdin is not None
        process_.stdin.close()
        assert process_.wait(SECONDS) == 128 + signal.SIGKILL
