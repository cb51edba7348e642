"""The scratch folder, the only one that a program may write: filled before it starts, emptied after its end.

Its content was made by a hostile program, so nothing here follows links or trusts a depth.
"""

from __future__ import annotations

import os
import stat

from codecascade.sandbox.inside.kernel import syscalls

# Files and folders; each costs the kernel about a kilobyte.
_INODES = 20_000
_MOST_OUTPUTS = 2_000


def mount(folder: str, megabytes: int, user: int) -> None:
    """Mount an empty in-memory folder that ``user`` may write."""
    options = f"size={megabytes}m,nr_inodes={_INODES},mode=700,uid={user}"
    syscalls.mount("tmpfs", folder, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, options)


def put(folder: str, files: dict[str, bytes], user: int) -> None:
    """Write ``files`` (relative names) into an empty folder, with ``user`` as their owner."""
    made = set()
    for name, content in files.items():
        path = os.path.join(folder, name)
        parent = os.path.dirname(path)
        while len(parent) > len(folder) and parent not in made:
            made.add(parent)
            parent = os.path.dirname(parent)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o700)
        with open(descriptor, "wb") as file:
            file.write(content)
        made.add(path)
    for path in made:
        os.chown(path, user, -1)


def collect(folder: str, names: list[str], most: int) -> dict[str, bytes]:
    """The regular files among ``names``, and in folders among them, of at most ``most`` bytes in total."""
    found: dict[str, bytes] = {}
    for name in names:
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            *parents, last = [part for part in name.split("/") if part]
            for part in parents:
                inner = os.open(
                    part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here
                )
                os.close(here)
                here = inner
            most -= _collect(here, last, name.strip("/"), found, most)
        except OSError:
            # The program made no such file.
            continue
        finally:
            os.close(here)
    return found


def _collect(
    folder: int, name: str, known_as: str, found: dict[str, bytes], most: int, depth: int = 0
) -> int:
    """Add the content of ``name`` in ``folder`` to ``found``; returns its bytes."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        size = 0
        if stat.S_ISREG(status.st_mode) and status.st_size <= most and len(found) < _MOST_OUTPUTS:
            with open(descriptor, "rb", closefd=False) as file:
                found[known_as] = file.read(most)
            return len(found[known_as])
        if stat.S_ISDIR(status.st_mode) and depth < 20:
            for entry in sorted(os.listdir(descriptor)):
                try:
                    size += _collect(descriptor, entry, f"{known_as}/{entry}", found, most - size, depth + 1)
                except OSError:
                    continue
        return size
    finally:
        os.close(descriptor)


def is_clean(folder: str, user: int) -> bool:
    """Whether a scratch folder is still as it was created."""
    status = os.stat(folder)
    return (
        status.st_mode & 0o7777 == 0o700
        and status.st_uid == user
        and not os.listdir(folder)
        and not os.listxattr(folder)
    )


def empty(folder: str) -> None:
    """Remove everything in a folder that a hostile program filled, at any depth, without following links.

    Folders are moved up to the top level one level at a time. So neither paths nor open descriptors grow with the
    depth.
    """
    os.chmod(folder, 0o700)
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    lifted = 0
    try:
        while names := os.listdir(top):
            for name in names:
                try:
                    os.unlink(name, dir_fd=top)
                except (IsADirectoryError, PermissionError):
                    lifted = _dissolve(top, name, lifted)
    finally:
        os.close(top)


def remove(folder: str) -> None:
    """Empty a folder as :func:`empty` does, and remove it."""
    empty(folder)
    os.rmdir(folder)


def _dissolve(top: int, name: str, lifted: int) -> int:
    """Remove the folder ``name`` in ``top``; its subfolders move up into ``top`` under new names."""
    # It can't become a link now, because no process of the program is alive.
    try:
        os.chmod(name, 0o700, dir_fd=top)
    except OSError:
        pass
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    try:
        for entry in os.listdir(inner):
            try:
                os.unlink(entry, dir_fd=inner)
            except (IsADirectoryError, PermissionError):
                lifted += 1
                # A folder must be writable to be moved.
                os.chmod(entry, 0o700, dir_fd=inner)
                os.rename(entry, f".lifted-{os.getpid()}-{lifted}", src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)
    return lifted
