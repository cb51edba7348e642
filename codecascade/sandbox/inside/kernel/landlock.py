"""Landlock: which folders a process may read and write, that it opens no TCP connection and signals nobody outside.

Layouts and numbers are those of ``linux/landlock.h``.
"""

from __future__ import annotations

import ctypes
import os
import struct

from codecascade.sandbox.inside.kernel import syscalls

TYPE_CHECKING = False  # as typing's, whose import every program's process would carry along
if TYPE_CHECKING:
    from collections.abc import Iterable

_READ = 0b1 | 0b100 | 0b1000  # execute, read a file, read a folder
_ACCESS_BY_VERSION = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    4: (1 << 15) - 1,
    5: (1 << 16) - 1,
}
_RESTRICT = ctypes.c_long(446)


def version() -> int:
    """The kernel's Landlock interface version; 0 where there is none."""
    try:
        return syscalls.syscall("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except OSError:
        return 0


def ruleset(readable: Iterable[str], writable: Iterable[str]) -> int:
    """A descriptor of rules: read and execute below ``readable``, everything below ``writable``, no TCP, no signals
    out, ``/dev/null`` and its like; paths that do not exist are passed over."""
    known = version()
    handled = _ACCESS_BY_VERSION[max(1, min(known, 5))]
    network = 0b11 if known >= 4 else 0
    scoped = 0b11 if known >= 6 else 0  # abstract sockets and signals stay inside
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
            _allow(rules, device, 0b110)  # read and write a file
    return rules


def restrict(rules: int) -> None:
    """From here on this process and all that it starts are held to the rules (asks for no_new_privileges)."""
    syscalls.checked(syscalls.libc.syscall(_RESTRICT, rules, 0), "landlock_restrict_self")


def _allow(rules: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, descriptor)
        syscalls.syscall("landlock_add_rule", ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0))
    finally:
        os.close(descriptor)
