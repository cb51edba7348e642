"""Runs a command as long as the process that wants it is there: ``python guard.py COMMAND ...``.

A server of a model has many processes and much memory on devices. It must not outlive a run, however that ends, and
a killed process can't clean up. So this process stands between them. It ends the command and everything that the
command has started when its own standard input ends, when the process that started it is gone, or on a signal.

It imports the standard library only, and is run as a file. What it relies on is Linux's; elsewhere the command's own
process group is ended, and no more.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_SECONDS = 20.0
"""Between SIGTERM and SIGKILL: vLLM's own processes end in a few seconds."""
LEFT_SECONDS = 10.0
"""Until killed processes must be gone."""
_POLL_SECONDS = 0.2
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(command: list[str]) -> int:
    """Run the command to its end or ours; returns its status, or 128 and the signal that ended it."""
    parent = os.getppid()
    ended = False

    def end(signum: int, frame: object) -> None:
        nonlocal ended
        ended = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    # Processes whose parents are gone become children of this one, so that none is forgotten.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent
        )
    except OSError as error:
        print(f"{command[0]}: can't be started ({error.strerror})", file=sys.stderr)
        return 127
    while process.poll() is None and not ended:
        ready, _, _ = select.select([sys.stdin], [], [], _POLL_SECONDS)
        ended = ended or os.getppid() != parent or (bool(ready) and not os.read(sys.stdin.fileno(), 1024))
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    _signal_group(process.pid, signal.SIGKILL)
    status = process.wait()
    _kill_children()
    return status if status >= 0 else 128 - status


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _kill_children() -> None:
    """End what the command has left behind in groups of its own, which are children of this process by now."""
    deadline = time.monotonic() + LEFT_SECONDS
    while time.monotonic() < deadline:
        try:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        except OSError:
            return
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(child), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
