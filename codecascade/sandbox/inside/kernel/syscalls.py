"""The Linux calls by which a process restricts itself: namespaces, mounts, capabilities, users.

They use ``ctypes`` and the standard library only. Landlock and seccomp have modules of their own. Every function
acts on the calling process, and raises ``OSError`` if the kernel refuses. Constants are those of the kernel's
headers (``linux/sched.h``, ``mount.h``, ``prctl.h``, ``capability.h``).
"""

from __future__ import annotations

import ctypes
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)

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
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 36, 38, 47

MACHINE = os.uname().machine
# The numbers on x86-64 and on arm64.
NUMBERS: dict[str, tuple[int, int]] = {
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


def number(name: str, table: dict[str, tuple[int, int]] = NUMBERS) -> int:
    """The number of a system call on this machine."""
    return table[name][0 if MACHINE == "x86_64" else 1]


def checked(result: int, what: str) -> int:
    """The result of a call; raises its error with a description of the call."""
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def syscall(name: str, *arguments: object) -> int:
    """Make a system call that the C library has no function for."""
    return checked(libc.syscall(ctypes.c_long(number(name)), *arguments), name)


def prctl(option: int, *arguments: int) -> None:
    """prctl(2)."""
    padded = [*arguments, 0, 0, 0, 0][:4]
    checked(libc.prctl(option, *(ctypes.c_ulong(value) for value in padded)), f"prctl({option})")


def unshare(flags: int) -> None:
    """Move to new namespaces of the types in ``flags``."""
    checked(libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2)."""
    checked(
        libc.mount(
            source.encode(),
            target.encode(),
            None if kind is None else kind.encode(),
            ctypes.c_ulong(flags),
            data.encode(),
        ),
        f"mount {target}",
    )


def unmount(target: str) -> None:
    """umount2(2): immediately for new look-ups; open files stay usable until closed."""
    checked(libc.umount2(target.encode(), ctypes.c_int(_MNT_DETACH)), f"unmount {target}")


def change_root(folder: str) -> None:
    """Make the mount at ``folder`` the root of this mount namespace, and remove the old root."""
    os.chdir(folder)
    # Now the old root is mounted over the new one.
    syscall("pivot_root", b".", b".")
    unmount(".")
    os.chdir("/")


def make_read_only(path: str) -> None:
    """Make the mount at ``path`` and everything below it read-only and without set-uid programs (Linux 5.12)."""
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID, 0, 0, 0)
    syscall(
        "mount_setattr",
        ctypes.c_int(_AT_FDCWD),
        path.encode(),
        ctypes.c_uint(_AT_RECURSIVE),
        attributes,
        ctypes.c_size_t(len(attributes)),
    )


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies."""
    prctl(_PR_SET_PDEATHSIG, 9)


def become_subreaper() -> None:
    """Make orphans below this process its children, so that it can find and kill them."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def drop_capabilities() -> None:
    """Give up all capabilities, for good."""
    _set_capabilities(0)


def bound_capabilities(kept: int | None = None) -> None:
    """Remove all capabilities but ``kept`` from the bounding set; those that this process has are not affected."""
    for capability in range(64):
        if capability == kept:
            continue
        if libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            # Past the last capability, or not permitted: then no_new_privileges protects.
            break


def become_user(user: int, kept: int | None = None) -> None:
    """As root: become ``user`` for good, without capabilities except ``kept`` (also for programs it starts).

    The kernel does not count root's processes against RLIMIT_NPROC, but it counts those of a separate user.
    """
    mask = 0 if kept is None else 1 << kept
    if kept is not None:
        prctl(_PR_SET_KEEPCAPS, 1)
        _set_capabilities(_root_capabilities(), inheritable=mask)
    os.setresgid(user, user, user)
    # This drops all effective capabilities; with KEEPCAPS the permitted ones remain.
    os.setresuid(user, user, user)
    if kept is not None:
        _set_capabilities(mask, inheritable=mask)
        # Programs that this program starts keep it, too.
        prctl(_PR_CAP_AMBIENT, 2, kept)


def look_as(user: int) -> None:
    """Access files and processes as ``user``, with the capabilities of this process."""
    for change in (libc.setfsgid, libc.setfsuid):
        change(ctypes.c_uint(user))
    _set_capabilities(_root_capabilities())


def show_memory() -> None:
    """Let processes of the same user inspect this process, which has changed its user."""
    prctl(_PR_SET_DUMPABLE, 1)


def _set_capabilities(kept: int, inheritable: int = 0) -> None:
    header = struct.pack("=Ii", 0x20080522, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    syscall("capset", header, struct.pack("=6I", low, low, inheritable, high, high, 0))


def _root_capabilities() -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm"))


def no_new_privileges() -> None:
    """No set-uid program gives privileges from now on; Landlock and seccomp require this."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide_memory() -> None:
    """Let only processes with capabilities inspect this one and its forks (until they run a new program)."""
    prctl(_PR_SET_DUMPABLE, 0)
