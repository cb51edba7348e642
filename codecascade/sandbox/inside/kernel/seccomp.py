"""seccomp: a filter that allows all system calls except those that reach beyond the process.

Layouts and numbers are those of ``linux/seccomp.h``, ``filter.h`` and ``audit.h``.
"""

from __future__ import annotations

import ctypes
import struct

from codecascade.sandbox.inside.kernel import syscalls
from codecascade.sandbox.inside.kernel.syscalls import ALL_NAMESPACES, MACHINE, NUMBERS

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
    # Files in anonymous memory are counted by no memory limit.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # Only useful with sockets from `socket`, which is refused.
    "bind": (49, 200),
    "connect": (42, 203),
    "listen": (50, 201),
    # A reader of a file could lock it against everybody, including processes of the host. sqlite, lockf and Java lock
    # ranges with fcntl, where a read-only descriptor only gives a shared lock.
    "flock": (73, 32),
}
# These calls keep pages in pipes that no limit counts (2 MB per descriptor), or use up resources of the whole
# machine.
# Libraries know kernels without them, and copy the data instead.
_ABSENT: dict[str, tuple[int, int]] = {
    # Unlike those of clone, its flags can't be inspected.
    "clone3": NUMBERS["clone3"],
    "vmsplice": (278, 75),
    "splice": (275, 76),
    "tee": (276, 77),
    "sendfile": (40, 71),
    "io_setup": (206, 0),
}
# Landlock does not check these calls; -1: this processor has no such call. For the owner of a file:
_MODES: dict[str, tuple[int, int]] = {
    "chmod": (90, -1),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, -1),
    "fchown": (93, 55),
    "lchown": (94, -1),
    "fchownat": (260, 54),
    "file_setattr": (469, 469),
}
# And for everybody who may write a file:
_TIMES: dict[str, tuple[int, int]] = {
    "utime": (132, -1),
    "utimes": (235, -1),
    "futimesat": (261, -1),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
}
_TRUNCATE, _OPENAT2 = (76, 45), (437, 437)
# open and openat, and which argument has the flags.
_OPENINGS = (((2, -1), 1), ((257, 56), 2))
_SOCKETPAIR, _SETSOCKOPT, _FCNTL, _PRCTL = (53, 199), (54, 208), (72, 25), (157, 167)
_CLOSE_RANGE = (436, 436)
_CLOSE_RANGE_UNSHARE, _CLONE_FILES, _CLONE_THREAD = 2, 0x400, 0x10000
_PR_SET_DUMPABLE = 4
_AF_UNIX, _SOCK_STREAM, _SOCK_SEQPACKET, _SOCK_TYPES = 1, 1, 5, 0xF
_SO_SNDBUF, _SO_SNDBUFFORCE = 7, 32
_F_SETLEASE, _F_NOTIFY = 1024, 1026
_O_ACCMODE, _O_TRUNC = 3, 0o1000

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AND = 0x54
_Instruction = tuple[int, int, int, int]
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def supported() -> bool:
    """Whether this processor is in the tables of system calls."""
    return MACHINE in _ARCHITECTURE


def program(*, holds_modes: bool = False, holds_times: bool = False, holds_length: bool = False) -> bytes:
    """A filter (classic BPF) that allows all calls except those that reach beyond the process.

    Refused with EPERM: sockets of every type, socket pairs that could send elsewhere (datagrams) or buffer more
    than usual, memory of other processes, namespaces, threads with descriptors of their own, mounts,
    kernel modules, clocks, keys, the kernel log, anonymous files, io_uring (it would bypass the filter), limits of
    other processes, leases, and locks of whole files.
    Calls that libraries can do without look absent (:data:`_ABSENT`).

    If Landlock alone protects the files of others, some calls that Landlock does not check are disabled: they do
    nothing and report success, as on a file system without these features, because copying a file uses them.

    Args:
        holds_modes: disable changes of modes and owners, for a program that runs as the owner of other files.
        holds_times: disable changes of times and extended attributes.
        holds_length: refuse truncation by path, which Landlock checks only from its third version on.
    """
    instructions: list[_Instruction] = [
        # The architecture.
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURE[MACHINE]),
        (_RETURN, 0, 0, _KILL),
        # The number of the call.
        (_LOAD, 0, 0, 0),
    ]
    # The x32 interface has other numbers for the same calls.
    if MACHINE == "x86_64":
        instructions += [(_JUMP_GREATER_EQUAL, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]
    # The descriptors of a process are counted once: its threads may have none of their own.
    instructions += _if(
        NUMBERS["clone"],
        [
            _argument(0),
            (_JUMP_SET, 2, 0, ALL_NAMESPACES),
            (_JUMP_SET, 0, 2, _CLONE_THREAD),
            (_JUMP_SET, 1, 0, _CLONE_FILES),
            _REFUSE,
            _LET,
        ],
    )
    instructions += _if(_CLOSE_RANGE, [_argument(2), (_JUMP_SET, 0, 1, _CLOSE_RANGE_UNSHARE), _REFUSE, _LET])
    instructions += _if(
        NUMBERS["prlimit64"],
        [_argument(0), (_JUMP_EQUAL, 1, 0, 0), _REFUSE, _LET],
        # 0: the caller's own.
    )
    # A process that hides from its own user also hides from the watch on its memory.
    instructions += _if(_PRCTL, [_argument(0), *_refuse_any(_PR_SET_DUMPABLE)])
    instructions += _if(_FCNTL, [_argument(1), *_refuse_any(_F_SETLEASE, _F_NOTIFY)])
    instructions += _if(_SETSOCKOPT, [_argument(2), *_refuse_any(_SO_SNDBUF, _SO_SNDBUFFORCE)])
    instructions += _if(
        _SOCKETPAIR,
        [
            _argument(0),
            (_JUMP_EQUAL, 0, 4, _AF_UNIX),
            _argument(1),
            (_AND, 0, 0, _SOCK_TYPES),
            (_JUMP_EQUAL, 2, 0, _SOCK_STREAM),
            (_JUMP_EQUAL, 1, 0, _SOCK_SEQPACKET),
            _REFUSE,
            _LET,
        ],
    )
    errors = dict.fromkeys(refused_calls(), _EPERM) | dict.fromkeys(absent_calls(), _ENOSYS)
    if holds_length:
        for call, flags in _OPENINGS:
            # Then Landlock is asked.
            may_write = (_JUMP_SET, 2, 0, _O_ACCMODE)
            instructions += _if(
                call, [_argument(flags), may_write, (_JUMP_SET, 0, 1, _O_TRUNC), _REFUSE, _LET]
            )
        errors |= {_here(_TRUNCATE): _EPERM, _here(_OPENAT2): _ENOSYS}
    held = (*(_MODES.values() if holds_modes else ()), *(_TIMES.values() if holds_times else ()))
    errors |= dict.fromkeys((call for call in map(_here, held) if call >= 0), 0)
    instructions += _search(sorted(errors.items()))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def refused_calls() -> list[int]:
    """The sorted numbers of the calls that are always refused."""
    return sorted(map(_here, _DENIED.values()))


def absent_calls() -> list[int]:
    """The sorted numbers of the calls that look absent."""
    return sorted(map(_here, _ABSENT.values()))


_REFUSE: _Instruction = (_RETURN, 0, 0, _ERRNO | _EPERM)
_LET: _Instruction = (_RETURN, 0, 0, _ALLOW)


def _here(numbers: tuple[int, int]) -> int:
    return numbers[0 if MACHINE == "x86_64" else 1]


def _argument(index: int) -> _Instruction:
    """Load an argument: its lower half, because the kernel uses no more of an int."""
    return (_LOAD, 0, 0, 16 + 8 * index)


def _refuse_any(*values: int) -> list[_Instruction]:
    """Instructions that refuse a call if the loaded argument is one of ``values``."""
    instructions = [(_JUMP_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [*instructions, _LET, _REFUSE]


def _if(call: tuple[int, int], instructions: list[_Instruction]) -> list[_Instruction]:
    """``instructions`` for one call, which must end in a return; [] if this processor has no such call."""
    return [] if _here(call) < 0 else [(_JUMP_EQUAL, 0, len(instructions), _here(call)), *instructions]


def _search(errors: list[tuple[int, int]]) -> list[_Instruction]:
    """Instructions that answer the calls in ``errors`` (sorted) with their error, and allow all others.

    A binary search: for every new filter the kernel tests all calls, and each program installs one.
    """
    if len(errors) <= 2:
        instructions: list[_Instruction] = []
        for refused, error in errors:
            instructions += [(_JUMP_EQUAL, 0, 1, refused), (_RETURN, 0, 0, _ERRNO | error)]
        return [*instructions, _LET]
    middle = len(errors) // 2
    lower, upper = _search(errors[:middle]), _search(errors[middle:])
    return [(_JUMP_GREATER_EQUAL, len(lower), 0, errors[middle][0]), *lower, *upper]


class Filter:
    """A filter of :func:`program`, laid out in memory once so that many processes can install it."""

    def __init__(self, instructions: bytes) -> None:
        self._instructions = ctypes.create_string_buffer(instructions, len(instructions))
        self._header = ctypes.create_string_buffer(
            struct.pack("@HP", len(instructions) // 8, ctypes.addressof(self._instructions))
        )
        self._address = ctypes.c_ulong(ctypes.addressof(self._header))

    def install(self) -> None:
        """Install the filter in this process and its descendants (needs no_new_privileges)."""
        syscalls.checked(syscalls.libc.prctl(_PR_SET_SECCOMP, 2, self._address, 0, 0), "seccomp")
