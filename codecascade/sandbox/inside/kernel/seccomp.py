"""seccomp: a filter over system calls that lets through all but those that reach beyond the process.

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
    # Files in memory that is nobody's: no limit on memory counts them.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # What a socket alone can do that comes from `socket`, which is refused.
    "bind": (49, 200),
    "connect": (42, 203),
    "listen": (50, 201),
    # Whoever may read a file may lock it against all others, the machine's own processes too. sqlite, lockf and Java
    # lock ranges by fcntl: there a descriptor that only reads gives a lock that is shared.
    "flock": (73, 32),
}
# These keep pages that no limit counts in pipes (a descriptor refers to 2 MB that cost the program nothing), or take
# of what the whole machine shares. Libraries know kernels without them, and copy instead.
_ABSENT: dict[str, tuple[int, int]] = {
    "clone3": NUMBERS["clone3"],  # its flags can't be inspected, as those of clone can
    "vmsplice": (278, 75),
    "splice": (275, 76),
    "tee": (276, 77),
    "sendfile": (40, 71),
    "io_setup": (206, 0),
}
# Landlock lets these through whatever the path is; -1: not on this processor. For a file's owner:
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
# And for whoever may write it:
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
_OPENINGS = (((2, -1), 1), ((257, 56), 2))  # open and openat, and which of their arguments the flags are
_SOCKETPAIR, _SETSOCKOPT, _FCNTL, _PRCTL = (53, 199), (54, 208), (72, 25), (157, 167)
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
    """Whether the table of system calls covers this processor."""
    return MACHINE in _ARCHITECTURE


def program(*, holds_modes: bool = False, holds_times: bool = False, holds_length: bool = False) -> bytes:
    """A filter program (classic BPF) that lets through all but the calls that reach beyond the process.

    Refused with EPERM: sockets of every kind, pairs of sockets that could send elsewhere (datagrams) or hold more
    than usual, other processes' memory, namespaces, mounts, kernel modules, clocks, keys, the kernel's log, files in
    memory, io_uring (it would pass by the filter), the limits of other processes, leases and locks of whole files.
    What libraries do without looks absent (:data:`_ABSENT`).

    Where Landlock alone keeps a program from the files of others, what it does not know of is held: the calls do
    nothing and say that all went well, as on a file system that has no such things, since copying a file makes them.

    Args:
        holds_modes: modes and owners stay as they are: for a program that runs as the owner of other files.
        holds_times: times and extended attributes stay as they are.
        holds_length: refuses to cut a file off by its name, which Landlock knows from its third version on.
    """
    instructions: list[_Instruction] = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURE[MACHINE]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the number of the call
    ]
    if MACHINE == "x86_64":  # the x32 interface numbers the same calls differently
        instructions += [(_JUMP_GREATER_EQUAL, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]
    instructions += _if(NUMBERS["clone"], [_argument(0), (_JUMP_SET, 0, 1, ALL_NAMESPACES), _REFUSE, _LET])
    instructions += _if(
        NUMBERS["prlimit64"], [_argument(0), (_JUMP_EQUAL, 1, 0, 0), _REFUSE, _LET]
    )  # 0: the caller's own
    # What hides from its own user hides from the watch on its memory.
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
            may_write = (_JUMP_SET, 2, 0, _O_ACCMODE)  # then Landlock is asked
            instructions += _if(
                call, [_argument(flags), may_write, (_JUMP_SET, 0, 1, _O_TRUNC), _REFUSE, _LET]
            )
        errors |= {_here(_TRUNCATE): _EPERM, _here(_OPENAT2): _ENOSYS}
    held = (*(_MODES.values() if holds_modes else ()), *(_TIMES.values() if holds_times else ()))
    errors |= dict.fromkeys((call for call in map(_here, held) if call >= 0), 0)
    instructions += _search(sorted(errors.items()))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def refused_calls() -> list[int]:
    """The numbers, in order, of the calls that are refused whatever their arguments."""
    return sorted(map(_here, _DENIED.values()))


def absent_calls() -> list[int]:
    """The numbers, in order, of the calls that this kernel seems not to have."""
    return sorted(map(_here, _ABSENT.values()))


_REFUSE: _Instruction = (_RETURN, 0, 0, _ERRNO | _EPERM)
_LET: _Instruction = (_RETURN, 0, 0, _ALLOW)


def _here(numbers: tuple[int, int]) -> int:
    return numbers[0 if MACHINE == "x86_64" else 1]


def _argument(index: int) -> _Instruction:
    """Look at an argument; at its lower half, which is all that the kernel takes of an int."""
    return (_LOAD, 0, 0, 16 + 8 * index)


def _refuse_any(*values: int) -> list[_Instruction]:
    """Rows that refuse a call whose argument that was looked at is one of ``values``."""
    instructions = [(_JUMP_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [*instructions, _LET, _REFUSE]


def _if(call: tuple[int, int], instructions: list[_Instruction]) -> list[_Instruction]:
    """``rows``, which all end in a return, for one call; none where this processor hasn't got it."""
    return [] if _here(call) < 0 else [(_JUMP_EQUAL, 0, len(instructions), _here(call)), *instructions]


def _search(errors: list[tuple[int, int]]) -> list[_Instruction]:
    """Rows that answer the calls in ``errors`` (sorted) with their error and let the others through.

    By halves: the kernel tries every call on a filter that is installed, and one is for each program.
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
    """A filter of :func:`program`, laid out in memory once for many processes to install."""

    def __init__(self, instructions: bytes) -> None:
        self._instructions = ctypes.create_string_buffer(instructions, len(instructions))
        self._header = ctypes.create_string_buffer(
            struct.pack("@HP", len(instructions) // 8, ctypes.addressof(self._instructions))
        )
        self._address = ctypes.c_ulong(ctypes.addressof(self._header))

    def install(self) -> None:
        """For this process and all that it starts (asks for no_new_privileges)."""
        syscalls.checked(syscalls.libc.prctl(_PR_SET_SECCOMP, 2, self._address, 0, 0), "seccomp")
