"""What all descendants of this process have used of the processors, counted by the scheduler as it runs them.

The usage that processes ask for leaves out children whose parent ignores their end (``SIGCHLD``), and ``/proc`` those
that end between two looks. The kernel's counter of a task's clock is handed on at each fork and adds up all. An
ordinary user may have it where ``kernel.perf_event_paranoid`` is at most 2; where it is refused, :func:`seconds` is
0.

Layouts are those of ``linux/perf_event.h``. Not counted: what runs after a file is executed that may be executed and
not be read; the kernel takes its counter away.
"""

from __future__ import annotations

import ctypes
import os
import struct

from codecascade.sandbox.inside.kernel import syscalls

_OPEN: tuple[int, int] = (298, 241)  # perf_event_open
_SOFTWARE, _TASK_CLOCK = 1, 1
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = (
    1 << 1,
    1 << 5,
    1 << 6,
)  # excluding is what an ordinary user has to say
_CLOSE_ON_EXEC = 8
_SIZE = 64  # of the structure's first version

_all = _own = -1
_before = 0


def start() -> bool:
    """Count from here on, in the descendants that are started from here on; whether the kernel does it."""
    global _all, _own
    try:
        _all, _own = _open(_INHERIT), _open(0)
    except OSError:
        if _all >= 0:
            os.close(_all)
        _all = _own = -1
    return _own >= 0


def available() -> bool:
    """Whether the kernel counts for this process."""
    try:
        os.close(_open(_INHERIT))
    except OSError:
        return False
    return True


def reset() -> None:
    """Count from here on."""
    global _before
    _before = _count()


def seconds() -> float:
    """CPU seconds of all descendants since :func:`reset`, whether they live or not; 0 where nobody counts."""
    return (_count() - _before) / 1e9


def _count() -> int:
    """Nanoseconds."""
    if _own < 0:
        return 0
    total: int = struct.unpack("=Q", os.read(_all, 8))[0]
    own: int = struct.unpack("=Q", os.read(_own, 8))[0]
    return total - own


def _open(flag: int) -> int:
    flags = flag | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR
    attributes = struct.pack("=IIQQQQQ", _SOFTWARE, _SIZE, _TASK_CLOCK, 0, 0, 0, flags).ljust(_SIZE, b"\0")
    number = ctypes.c_long(syscalls.number("perf_event_open", {"perf_event_open": _OPEN}))
    arguments = (attributes, 0, ctypes.c_int(-1), ctypes.c_int(-1), ctypes.c_ulong(_CLOSE_ON_EXEC))
    return syscalls.checked(syscalls.libc.syscall(number, *arguments), "perf_event_open")
