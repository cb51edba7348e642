"""The Linux calls that confine a process: namespaces, mounts, Landlock, seccomp. Standard library only.

Everything here acts on the calling process and raises ``OSError`` where the kernel refuses. Constants are those
of the kernel's user-space headers (``linux/sched.h``, ``mount.h``, ``landlock.h``, ``seccomp.h``, ``filter.h``).
"""

from __future__ import annotations

import ctypes
import os
import struct

TYPE_CHECKING = False  # as typing's, whose import every program's process would carry along
if TYPE_CHECKING:
    from collections.abc import Iterable

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP = 0x10000000, 0x20000000, 0x40000000, 0x02000000
ALL_NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP
)

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_AT_RECURSIVE, _AT_FDCWD = 0x8000, -100
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID = 0x1, 0x2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAPBSET_DROP = 1, 4, 8, 24
_PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 22, 36, 38, 47
_CAP_DAC_READ_SEARCH = 2

_MACHINE = os.uname().machine
# (x86-64, arm64) numbers; system calls that one of the two lacks have None there.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "capset": (126, 91),
    "clone": (56, 220),
    "clone3": (435, 435),
    "prlimit64": (302, 261),
    "socket": (41, 198),
    "pivot_root": (155, 41),
}
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "socket": _NUMBERS["socket"],
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": _NUMBERS["pivot_root"],
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": _NUMBERS["mount_setattr"],
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


def _number(table: dict[str, tuple[int | None, int | None]], name: str) -> int | None:
    return table[name][0 if _MACHINE == "x86_64" else 1]


def _checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def _syscall(name: str, *arguments: object) -> int:
    number = _number(_NUMBERS, name)
    return _checked(_libc.syscall(ctypes.c_long(number or -1), *arguments), name)


def _prctl(option: int, *arguments: int) -> None:
    padded = [*arguments, 0, 0, 0, 0][:4]
    _checked(_libc.prctl(option, *(ctypes.c_ulong(value) for value in padded)), f"prctl({option})")


def unshare(flags: int) -> None:
    """Leave the namespaces named by ``flags`` for new ones."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2)."""
    _checked(
        _libc.mount(
            source.encode(),
            target.encode(),
            None if kind is None else kind.encode(),
            ctypes.c_ulong(flags),
            data.encode(),
        ),
        f"mount {target}",
    )


def unmount(target: str) -> None:
    """umount2(2); at once for new look-ups, for what is still open when that is closed."""
    _checked(_libc.umount2(target.encode(), ctypes.c_int(_MNT_DETACH)), f"unmount {target}")


def change_root(folder: str) -> None:
    """Make the mount at ``folder`` the root of this mount namespace; the old root is gone from it."""
    os.chdir(folder)
    _syscall("pivot_root", b".", b".")  # the old root now lies over the new one at the same place
    unmount(".")
    os.chdir("/")


def make_read_only(path: str) -> None:
    """Make the mount at ``path`` and all below it read-only and free of set-uid programs (Linux 5.12)."""
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID, 0, 0, 0)
    _syscall(
        "mount_setattr",
        ctypes.c_int(_AT_FDCWD),
        path.encode(),
        ctypes.c_uint(_AT_RECURSIVE),
        attributes,
        ctypes.c_size_t(len(attributes)),
    )


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies."""
    _prctl(_PR_SET_PDEATHSIG, 9)


def become_subreaper() -> None:
    """Orphans below this process become its children, so that it can find and kill them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def drop_capabilities() -> None:
    """Give up every capability for good."""
    _set_capabilities(0)


def bound_capabilities(*, may_read_all: bool = False) -> None:
    """No program started from here on gains a capability (but that to read); those that this process has stay."""
    for capability in range(64):
        if may_read_all and capability == _CAP_DAC_READ_SEARCH:
            continue
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break  # past the last one


def become_user(user: int, *, may_read_all: bool = False) -> None:
    """As real root: become ``user`` for good, with no right, or only that to read (and to hand this on).

    The kernel does not count root's processes against RLIMIT_NPROC; those of a user of its own it does.
    """
    readable = 1 << _CAP_DAC_READ_SEARCH
    if may_read_all:
        _prctl(_PR_SET_KEEPCAPS, 1)
        _set_capabilities(_root_capabilities(), inheritable=readable)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)  # takes all capabilities, those kept for may_read_all excepted
    if may_read_all:
        _set_capabilities(readable, inheritable=readable)
        _prctl(_PR_CAP_AMBIENT, 2, _CAP_DAC_READ_SEARCH)  # programs that the program starts keep it


def _set_capabilities(kept: int, inheritable: int = 0) -> None:
    header = struct.pack("=Ii", 0x20080522, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    _syscall("capset", header, struct.pack("=6I", low, low, inheritable, high, high, 0))


def _root_capabilities() -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm"))


def no_new_privileges() -> None:
    """Set-uid programs give nothing from here on; Landlock and seccomp ask for this first."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide_memory() -> None:
    """No process without capabilities can look into this one (or its children, until they run a new program)."""
    _prctl(_PR_SET_DUMPABLE, 0)


# --- Landlock -----------------------------------------------------------------------------------------------

_READ = 0b1 | 0b100 | 0b1000  # execute, read a file, read a folder
_ACCESS_BY_VERSION = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    4: (1 << 15) - 1,
    5: (1 << 16) - 1,
}


_LANDLOCK_RESTRICT = ctypes.c_long(446)


def landlock_version() -> int:
    """The kernel's Landlock interface version; 0 where there is none."""
    try:
        return _syscall("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except OSError:
        return 0


def landlock_ruleset(readable: Iterable[str], writable: Iterable[str]) -> int:
    """A descriptor of rules: read and execute below ``readable``, everything below ``writable``, no TCP, no signals
    out, ``/dev/null`` and its like; paths that do not exist are passed over."""
    version = landlock_version()
    handled = _ACCESS_BY_VERSION[max(1, min(version, 5))]
    network = 0b11 if version >= 4 else 0
    scoped = 0b11 if version >= 6 else 0  # abstract sockets and signals stay inside
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    attributes = struct.pack("=QQQ", handled, network, scoped)[:size]
    ruleset = _syscall("landlock_create_ruleset", attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    for folder in readable:
        if os.path.isdir(folder):
            _allow(ruleset, folder, _READ)
        elif os.path.exists(folder):
            _allow(ruleset, folder, _READ & 0b111)
    for folder in writable:
        _allow(ruleset, folder, handled)
    for device in ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"):
        if os.path.exists(device):
            _allow(ruleset, device, 0b110)  # read and write a file
    return ruleset


def landlock(ruleset: int) -> None:
    """From here on this process and all that it starts are held to the rules (asks for no_new_privileges)."""
    _checked(_libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")


def _allow(ruleset: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, descriptor)
        _syscall("landlock_add_rule", ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0))
    finally:
        os.close(descriptor)


# --- seccomp ------------------------------------------------------------------------------------------------

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def seccomp_supported() -> bool:
    """Whether the table of system calls covers this processor."""
    return _MACHINE in _ARCHITECTURE


def seccomp_filter() -> bytes:
    """A filter program (classic BPF) that lets through all but the calls that reach beyond the process.

    Refused with EPERM: sockets of every kind, other processes' memory, namespaces, mounts, kernel modules, clocks,
    keys, the kernel's log, files in memory, io_uring (it would pass by the filter), the limits of other processes.
    ``clone3`` looks absent (its flags can't be inspected), so that libraries fall back to ``clone``, whose namespace
    flags are refused.
    """
    rows: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURE[_MACHINE]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the number of the call
    ]
    if _MACHINE == "x86_64":  # the x32 interface numbers the same calls differently
        rows += [(_JUMP_GREATER_EQUAL, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]
    rows += [
        (_JUMP_EQUAL, 0, 1, _number(_NUMBERS, "clone3") or 0),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
        (_JUMP_EQUAL, 0, 4, _number(_NUMBERS, "clone") or 0),
        (_LOAD, 0, 0, 16),  # its first argument: the flags
        (_JUMP_SET, 0, 1, ALL_NAMESPACES),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
        (_JUMP_EQUAL, 0, 4, _number(_NUMBERS, "prlimit64") or 0),
        (_LOAD, 0, 0, 16),  # whose limits: 0 is the caller
        (_JUMP_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    rows += _search(refused_calls())
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


def refused_calls() -> list[int]:
    """The numbers, in order, of the calls that are refused whatever their arguments."""
    numbers = (_number(_DENIED, name) for name in _DENIED)
    return sorted({number for number in numbers if number is not None})


def _search(numbers: list[int]) -> list[tuple[int, int, int, int]]:
    """Rows that refuse the calls ``numbers`` (sorted) and let the others through.

    By halves: the kernel tries every call on a filter that is installed, and one is for each program.
    """
    if len(numbers) <= 2:
        rows = []
        for number in numbers:
            rows += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _EPERM)]
        return [*rows, (_RETURN, 0, 0, _ALLOW)]
    middle = len(numbers) // 2
    lower, upper = _search(numbers[:middle]), _search(numbers[middle:])
    return [(_JUMP_GREATER_EQUAL, len(lower), 0, numbers[middle]), *lower, *upper]


class Filter:
    """A filter of :func:`seccomp_filter`, laid out in memory once for many processes to install."""

    def __init__(self, program: bytes) -> None:
        self._rows = ctypes.create_string_buffer(program, len(program))
        self._header = ctypes.create_string_buffer(
            struct.pack("@HP", len(program) // 8, ctypes.addressof(self._rows))
        )
        self._address = ctypes.c_ulong(ctypes.addressof(self._header))

    def install(self) -> None:
        """For this process and all that it starts (asks for no_new_privileges)."""
        _checked(_libc.prctl(_PR_SET_SECCOMP, 2, self._address, 0, 0), "seccomp")
