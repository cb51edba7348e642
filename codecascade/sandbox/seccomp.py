"""seccomp: a filter over system calls that lets through all but those that reach beyond the process.

Layouts and numbers are those of ``linux/seccomp.h``, ``filter.h`` and ``audit.h``.
"""

from __future__ import annotations

import ctypes
import struct

from codecascade.sandbox import syscalls
from codecascade.sandbox.syscalls import ALL_NAMESPACES, MACHINE, NUMBERS, number

_PR_SET_SECCOMP = 22
_DENIED: dict[str, tuple[int, int]] = {
    "socket": NUMBERS["socket"],
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": NUMBERS["pivot_root"],
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": NUMBERS["mount_setattr"],
    "open_by_handle_at": (304, 265),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (170, 170),
    "clock_settime": (227, 112),
    # System V and POSIX messages outlive the process that made them.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # Files in memory that is nobody's: no limit on memory counts them.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def supported() -> bool:
    """Whether the table of system calls covers this processor."""
    return MACHINE in _ARCHITECTURE


def program() -> bytes:
    """A filter program (classic BPF) that lets through all but the calls that reach beyond the process.

    Refused with EPERM: sockets of every kind, other processes' memory, namespaces, mounts, kernel modules, clocks,
    keys, the kernel's log, files in memory, io_uring (it would pass by the filter), the limits of other processes.
    ``clone3`` looks absent (its flags can't be inspected), so that libraries fall back to ``clone``, whose namespace
    flags are refused.
    """
    rows: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURE[MACHINE]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the number of the call
    ]
    if MACHINE == "x86_64":  # the x32 interface numbers the same calls differently
        rows += [(_JUMP_GREATER_EQUAL, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]
    rows += [
        (_JUMP_EQUAL, 0, 1, number("clone3")),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
        (_JUMP_EQUAL, 0, 4, number("clone")),
        (_LOAD, 0, 0, 16),  # its first argument: the flags
        (_JUMP_SET, 0, 1, ALL_NAMESPACES),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
        (_JUMP_EQUAL, 0, 4, number("prlimit64")),
        (_LOAD, 0, 0, 16),  # whose limits: 0 is the caller
        (_JUMP_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    rows += _search(refused_calls())
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


def refused_calls() -> list[int]:
    """The numbers, in order, of the calls that are refused whatever their arguments."""
    return sorted(number(name, _DENIED) for name in _DENIED)


def _search(numbers: list[int]) -> list[tuple[int, int, int, int]]:
    """Rows that refuse the calls ``numbers`` (sorted) and let the others through.

    By halves: the kernel tries every call on a filter that is installed, and one is for each program.
    """
    if len(numbers) <= 2:
        rows = []
        for refused in numbers:
            rows += [(_JUMP_EQUAL, 0, 1, refused), (_RETURN, 0, 0, _ERRNO | _EPERM)]
        return [*rows, (_RETURN, 0, 0, _ALLOW)]
    middle = len(numbers) // 2
    lower, upper = _search(numbers[:middle]), _search(numbers[middle:])
    return [(_JUMP_GREATER_EQUAL, len(lower), 0, numbers[middle]), *lower, *upper]


class Filter:
    """A filter of :func:`program`, laid out in memory once for many processes to install."""

    def __init__(self, rows: bytes) -> None:
        self._rows = ctypes.create_string_buffer(rows, len(rows))
        self._header = ctypes.create_string_buffer(
            struct.pack("@HP", len(rows) // 8, ctypes.addressof(self._rows))
        )
        self._address = ctypes.c_ulong(ctypes.addressof(self._header))

    def install(self) -> None:
        """For this process and all that it starts (asks for no_new_privileges)."""
        syscalls.checked(syscalls.libc.prctl(_PR_SET_SECCOMP, 2, self._address, 0, 0), "seccomp")
