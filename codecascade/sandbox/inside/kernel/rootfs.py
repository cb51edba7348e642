"""Gives a worker its view of the file system: namespaces, and a root with one writable folder.

It runs in the worker's process, and imports no more than necessary, because every program's process is a copy of it.
"""

from __future__ import annotations

import os

from codecascade.sandbox.inside.kernel import syscalls

SCRATCH = "/box"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu")
_DEVICES = ("null", "zero", "full", "random", "urandom")


def enter_namespaces() -> None:
    """Enter new mount, network, IPC, host-name and PID namespaces (the last one applies to children).

    An ordinary user needs a new user namespace for them, in which the user id stays the same.
    """
    flags = (
        syscalls.CLONE_NEWNS
        | syscalls.CLONE_NEWNET
        | syscalls.CLONE_NEWIPC
        | syscalls.CLONE_NEWUTS
        | syscalls.CLONE_NEWPID
    )
    user, group = os.getuid(), os.getgid()
    if user == 0:
        syscalls.unshare(flags)
        return
    syscalls.unshare(flags | syscalls.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def build(folders: list[str], base: str) -> None:
    """Make a read-only root from system folders and ``folders``, and change to it.

    Args:
        folders: they keep their paths; folders above them (a private home) are new and empty.
        base: an existing folder that may be hidden in this mount namespace.
    """
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in visible(folders)}
    devices = {name: os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC) for name in _DEVICES}
    links = {path: os.readlink(path) for path in _SYSTEM if os.path.islink(path)}
    proc = os.open("/proc/self/fd", os.O_PATH | os.O_CLOEXEC)
    syscalls.mount("tmpfs", base, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "size=1m,mode=755")
    for path, target in links.items():
        os.symlink(target, base + path)
    for path, descriptor in sources.items():
        _bind(proc, descriptor, base + path, is_folder=os.path.isdir(f"/proc/self/fd/{descriptor}"))
    os.mkdir(f"{base}/dev")
    for name, descriptor in devices.items():
        _bind(proc, descriptor, f"{base}/dev/{name}", is_folder=False)
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("shm", SCRATCH),
    ):
        os.symlink(target, f"{base}/dev/{name}")
    for name in ("proc", "tmp", SCRATCH[1:]):
        os.makedirs(f"{base}/{name}", exist_ok=True)
    try:
        # Shows only the worker's processes. The kernel allows it while the complete old /proc is still visible.
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        syscalls.mount("proc", f"{base}/proc", "proc", flags)
    except OSError:
        # A container may hide parts of /proc. Then there is none inside; Python works without it.
        pass
    os.close(proc)
    for descriptor in (*sources.values(), *devices.values()):
        os.close(descriptor)
    syscalls.change_root(base)
    syscalls.make_read_only("/")


def _bind(proc: int, descriptor: int, target: str, *, is_folder: bool) -> None:
    """Show at ``target`` what an open descriptor refers to, with everything mounted below it."""
    os.makedirs(target if is_folder else os.path.dirname(target), exist_ok=True)
    if not is_folder:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    source = f"/proc/self/fd/{descriptor}"
    syscalls.mount(source, target, None, syscalls.MS_BIND | syscalls.MS_REC)


def visible(folders: list[str]) -> list[str]:
    """The existing system folders and ``folders``, without those inside of others."""
    wanted = [path for path in _SYSTEM if os.path.exists(path) and not os.path.islink(path)]
    wanted += [path for path in folders if os.path.exists(path)]
    kept: list[str] = []
    for path in sorted({os.path.normpath(path) for path in wanted}):
        if path != "/" and not any(path.startswith(f"{other}/") for other in kept):
            kept.append(path)
    return kept


def readable_to_others(paths: list[str]) -> bool:
    """Whether an ordinary user can read these folders, regardless of the folders above them."""
    for path in paths:
        if os.path.exists(path):
            mode = os.stat(path).st_mode
            if not mode & 0o004 or (os.path.isdir(path) and not mode & 0o001):
                return False
    return True
