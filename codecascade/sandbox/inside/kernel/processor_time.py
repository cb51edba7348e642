"""Measures the processor time of all descendants of this process, with a counter of the scheduler.

The usual accounting misses children whose parent ignores their exit (``SIGCHLD``), and ``/proc`` misses those that
end between two looks. A perf counter of a task's clock is inherited at each fork and adds up all of them. An
ordinary user may use it if ``kernel.perf_event_paranoid`` is at most 2; otherwise :func:`seconds` is 0.

Layouts are those of ``linux/perf_event.h``. Not counted: a process after it executes a file that is executable but
not readable, because the kernel then removes its counter.
"""

from __future__ import annotations

import ctypes
import os
import struct

from codecascade.sandbox.inside.kernel import syscalls

# perf_event_open.
_OPEN: tuple[int, int] = (298, 241)
_SOFTWARE, _TASK_CLOCK = 1, 1
# Ordinary users must exclude the kernel and the hypervisor.
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
_CLOSE_ON_EXEC = 8
# Of the first version of the structure.
_SIZE = 64

_all = _own = -1
_before = 0


def start() -> bool:
    """Start counting descendants that are started from now on; returns whether the kernel does it."""
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
    """Set the counter to zero."""
    global _before
    _before = _count()


def seconds() -> float:
    """CPU seconds of all descendants since :func:`reset`, dead or alive; 0 if the kernel does not count."""
    return (_count() - _before) / 1e9


def _count() -> int:
    """Nanoseconds of all descendants so far."""
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
