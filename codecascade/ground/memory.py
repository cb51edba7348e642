"""How much memory there is left for this process."""

from __future__ import annotations

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that can be taken without swapping, of the machine and of this process's control group.

    0 where the system does not tell.
    """
    left: list[int] = []
    try:
        lines = [line.split() for line in _MEMINFO.read_text().splitlines()]
        left += [int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"]
    except (OSError, ValueError, IndexError):
        pass
    if not left and "SC_AVPHYS_PAGES" in os.sysconf_names:
        left.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        left.append(limit - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        # no control group, or one without a limit
        pass
    return max(0, min(left, default=0))
