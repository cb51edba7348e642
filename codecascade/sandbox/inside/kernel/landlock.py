"""Landlock: limits which folders a process may read and write, TCP connections, and signals to other processes.

Layouts and numbers are those of ``linux/landlock.h``.
"""

from __future__ import annotations

import ctypes
import os
import struct

from codecascade.sandbox.inside.kernel import syscalls

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Execute, read a file, read a folder.
_READ = 0b1 | 0b100 | 0b1000
_ACCESS_BY_VERSION = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    4: (1 << 15) - 1,
    5: (1 << 16) - 1,
}
_RESTRICT = ctypes.c_long(446)


def version() -> int:
    """The kernel's Landlock version; 0 if it has none."""
    try:
        return syscalls.syscall("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except OSError:
        return 0


def ruleset(readable: Iterable[str], writable: Iterable[str]) -> int:
    """A descriptor of rules: read and execute below ``readable``, everything below ``writable``.

    No TCP, no signals to other processes; ``/dev/null`` and similar devices are allowed. Missing paths are skipped.
    """
    known = version()
    handled = _ACCESS_BY_VERSION[max(1, min(known, 5))]
    network = 0b11 if known >= 4 else 0
    # Abstract sockets and signals stay inside.
    scoped = 0b11 if known >= 6 else 0
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    attributes = struct.pack("=QQQ", handled, network, scoped)[:size]
    rules = syscalls.syscall("landlock_create_ruleset", attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    for folder in readable:
        if os.path.isdir(folder):
            _allow(rules, folder, _READ)
        elif os.path.exists(folder):
            _allow(rules, folder, _READ & 0b111)
    for folder in writable:
        _allow(rules, folder, handled)
    for device in ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"):
        if os.path.exists(device):
            # Read and write a file.
            _allow(rules, device, 0b110)
    return rules


def restrict(rules: int) -> None:
    """Apply the rules to this process and its descendants, for good (needs no_new_privileges)."""
    syscalls.checked(syscalls.libc.syscall(_RESTRICT, rules, 0), "landlock_restrict_self")


def _allow(rules: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, descriptor)
        syscalls.syscall("landlock_add_rule", ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0))
    finally:
        os.close(descriptor)
