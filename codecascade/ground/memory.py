"""How much memory there is for this process: what the machine has, and what its control groups leave of that.

A container, or a job of a cluster, is such a group (cgroup v2, docs.kernel.org/admin-guide/cgroup-v2.html). Who takes
more than its limit is killed, however much the machine has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_FILES = ("active_file", "inactive_file")
"""Copies of files, which count as used and are given up when somebody needs the memory."""


def free_memory() -> int:
    """Bytes that can be taken without swapping, of the machine and of this process's control groups; at least 1.

    0 where the system does not tell.
    """
    left: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        lines = [line.split() for line in _MEMINFO.read_text().splitlines()]
        left += [int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"]
    if not left and "SC_AVPHYS_PAGES" in os.sysconf_names:
        left.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for group, limit in _limits():
        with suppress(OSError, ValueError):
            left.append(limit - int((group / "memory.current").read_text()) + _given_up(group))
    return max(1, min(left)) if left else 0


def whole_memory() -> int:
    """Bytes that this process and those beside it can have at most: the machine's, or its control groups' limit."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for _, limit in _limits())])


def _limits() -> Iterator[tuple[Path, int]]:
    """The control groups that this process is in and that have a limit, from the inmost one to the outmost one."""
    own = _own_group()
    for group in (own, *own.parents):
        folder = _CGROUP / group.relative_to("/")
        try:
            limit = int((folder / "memory.max").read_text())
        except (OSError, ValueError):
            # "max" is no limit; the group of the whole machine has no such file, and a container may not see others
            continue
        yield folder, limit


def _own_group() -> PurePosixPath:
    with suppress(OSError):
        for line in _OWN_GROUP.read_text().splitlines():
            # ".." leads to groups outside of what this process sees
            if line.startswith("0::/") and ".." not in line:
                return PurePosixPath(line.removeprefix("0::"))
    return PurePosixPath("/")


def _given_up(group: Path) -> int:
    """Bytes of copies of files in a group."""
    with suppress(OSError, ValueError):
        lines = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
        return sum(int(words[1]) for words in lines if len(words) == 2 and words[0] in _FILES)
    return 0
