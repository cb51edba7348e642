"""Finds and kills processes without a PID namespace; the caller is a child subreaper."""

from __future__ import annotations

import os
import time

SIGKILL, SIGSTOP = 9, 19


def descendants() -> list[int]:
    """The process ids of all descendants of this process."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                    parents[int(name)] = int(file.read(2048).rpartition(b")")[2].split()[1])
            except OSError:
                # The process has ended.
                continue
    found: list[int] = []
    level = {os.getpid()}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found += level
    return found


def kill_descendants(user: int | None = None) -> None:
    """Send SIGKILL to all descendants, and to all processes of ``user`` if given; they must still be waited for.

    ``user`` is the worker's own user; if it is the user of this process, its other processes are left alone.
    Stopping all processes first keeps most of them from starting others. The caller repeats until it has no child.
    """
    if user is not None and os.getuid() == 0 and user != 0:
        helper = os.fork()
        if helper == 0:
            try:
                os.setresuid(user, user, user)
                if 0 not in os.getresuid():
                    # All processes of the user at once, including forks in progress.
                    os.kill(-1, SIGKILL)
            finally:
                os._exit(0)
        os.waitpid(helper, 0)
    found = descendants()
    for signal in (SIGSTOP, SIGKILL):
        for pid in found:
            try:
                os.kill(pid, signal)
            except (ProcessLookupError, PermissionError):
                continue


def end_descendants() -> None:
    """Kill all descendants, and wait until there are none."""
    try:
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                kill_descendants()
                os.waitpid(-1, 0)
    except ChildProcessError:
        return


_counted: tuple[float, int] = (float("-inf"), 0)


def tasks_of(user: int) -> int:
    """The number of threads of a user, counted at most once a second: all count against the limit on processes."""
    global _counted
    if time.monotonic() - _counted[0] < 1:
        return _counted[1]
    tasks = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == user:
                    tasks += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    _counted = (time.monotonic(), tasks)
    return tasks
