"""Counts the memory that the kernel holds for a program besides its pages: sockets, pipes, page tables, swap.

Without a cgroup nobody adds this up. Sockets and pipes are counted as full, page tables and swap as they are.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct

from codecascade.sandbox.inside.kernel import syscalls

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_PAGE = resource.getpagesize()
# A last message is accepted as long as there is any room.
_LAST_MESSAGE = 65_536


def _sent_at_most() -> int:
    """Most unread bytes that one end of a socket pair may have sent; programs can't change it."""
    try:
        with open("/proc/sys/net/core/wmem_default", "rb") as file:
            return int(file.read()) + _LAST_MESSAGE
    except (OSError, ValueError):
        return 212_992 + _LAST_MESSAGE


# Before Linux 6.2 the size of a descriptor folder is not the number of descriptors.
_LISTS = os.stat("/proc/self/fd").st_size == 0
# The number assumed for a process that can't be inspected, because its program file is executable but not readable.
_MOST_OPEN = 256
_SOCKET = _sent_at_most()
_PIPE = 16 * _PAGE
# struct sysinfo of linux/sysinfo.h.
_SYSTEM = struct.Struct("@l9LH6x2LI4x")


def descriptor_bytes(pids: Iterable[int], room: int) -> int:
    """Most bytes that the kernel may hold in the descriptors of processes; 0 if it is less than ``room``.

    Descriptors inside of unread messages are in no list; the kernel allows a user some 500 of them.
    """
    pids = list(pids)
    if sum(map(_descriptors, pids)) * _SOCKET < room:
        return 0
    names = {name for pid in pids for name in _opened(pid)}
    sockets = sum(name.startswith("socket:") for name in names)
    # The pipes of a user share 64 MB (fs.pipe-user-pages-soft); beyond that each has two pages.
    pipes = sum(name.startswith("pipe:") for name in names)
    return sockets * _SOCKET + min(pipes * _PIPE, (64 << 20) + pipes * 2 * _PAGE)


def hidden_bytes(pids: Iterable[int]) -> int:
    """The bytes of the processes' page tables and swapped pages."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                total += sum(
                    int(line.split()[1]) * 1024 for line in file if line.startswith((b"VmPTE:", b"VmSwap:"))
                )
        except OSError:
            # The process has ended.
            continue
    return total


def machine_shared_bytes() -> int:
    """Bytes of shared memory of the whole machine, in memory or swapped, with its file systems in memory."""
    answer = ctypes.create_string_buffer(_SYSTEM.size)
    syscalls.checked(syscalls.libc.sysinfo(answer), "sysinfo")
    fields: tuple[int, ...] = _SYSTEM.unpack(answer.raw)
    shared, swap, free_swap, unit = fields[6], fields[8], fields[9], fields[13]
    return (shared + swap - free_swap) * unit


def _descriptors(pid: int) -> int:
    """The number of open descriptors of a process."""
    folder = f"/proc/{pid}/fd"
    try:
        return len(os.listdir(folder)) if _LISTS else os.stat(folder).st_size
    except PermissionError:
        return _MOST_OPEN
    except OSError:
        # The process has ended.
        return 0


def _opened(pid: int) -> set[str]:
    """The names of a process's open descriptors, such as ``socket:[123]``."""
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
        # The process has ended.
        pass
    return found
