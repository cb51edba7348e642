"""What the kernel holds for a program beside its pages: in sockets, in pipes, as page tables, in swap.

Without a cgroup nobody adds that up. Sockets and pipes are counted as full, page tables and swap as they are.
"""

from __future__ import annotations

import os
import resource

TYPE_CHECKING = False  # as typing's, whose import every program's process would carry along
if TYPE_CHECKING:
    from collections.abc import Iterable

_PAGE = resource.getpagesize()
_LAST_MESSAGE = 65_536  # is taken as long as the ones before it leave any room


def _sent_at_most() -> int:
    """Bytes that one end of a pair of sockets may have sent without being read; programs can't change it."""
    try:
        with open("/proc/sys/net/core/wmem_default", "rb") as file:
            return int(file.read()) + _LAST_MESSAGE
    except (OSError, ValueError):
        return 212_992 + _LAST_MESSAGE


# Before Linux 6.2 a folder of descriptors does not tell their number by its size.
_LISTS = os.stat("/proc/self/fd").st_size == 0
# Taken to be sockets, of a process that can't be looked into: it runs a file that may be executed and not be read.
_MOST_OPEN = 256
_SOCKET = _sent_at_most()
_PIPE = 16 * _PAGE


def descriptor_bytes(pids: Iterable[int], room: int) -> int:
    """Bytes that the kernel may hold in the descriptors of processes; 0 where it is less than ``room``.

    Descriptors that are under way in a message are in nobody's list: the kernel lets a user have some 500 of them.
    """
    pids = list(pids)
    if sum(map(_descriptors, pids)) * _SOCKET < room:
        return 0
    names = {name for pid in pids for name in _opened(pid)}
    sockets = sum(name.startswith("socket:") for name in names)
    # A user's pipes share 64 MB (fs.pipe-user-pages-soft); past that each has two pages.
    pipes = sum(name.startswith("pipe:") for name in names)
    return sockets * _SOCKET + min(pipes * _PIPE, (64 << 20) + pipes * 2 * _PAGE)


def hidden_bytes(pids: Iterable[int]) -> int:
    """Bytes of the processes' page tables and of what of them is in swap."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                total += sum(
                    int(line.split()[1]) * 1024 for line in file if line.startswith((b"VmPTE:", b"VmSwap:"))
                )
        except OSError:
            continue  # it has ended meanwhile
    return total


def _descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    folder = f"/proc/{pid}/fd"
    try:
        return len(os.listdir(folder)) if _LISTS else os.stat(folder).st_size
    except PermissionError:
        return _MOST_OPEN
    except OSError:
        return 0  # it has ended meanwhile


def _opened(pid: int) -> set[str]:
    """The names of what a process has open, ``socket:[123]`` among them."""
    folder = f"/proc/{pid}/fd"
    found = set()
    try:
        for name in os.listdir(folder):
            try:
                found.add(os.readlink(f"{folder}/{name}"))
            except OSError:
                continue
    except PermissionError:
        found = {f"socket:{pid}:{number}" for number in range(_MOST_OPEN)}
    except OSError:
        pass  # it has ended meanwhile
    return found
