"""Chooses the files and folders that Landlock lets programs read."""

from __future__ import annotations

import os
import stat

from codecascade.sandbox.inside.kernel import rootfs

# How deep private files are searched for: configuration completely, programs only at their first levels.
_MIXED = {"/etc": 100, "/opt": 2}


def readable_paths(folders: list[str], *, all_open: bool, private: bool) -> list[str]:
    """The files and folders that a program may read: those of the system, and ``folders``.

    No device is among them: :mod:`.landlock` allows the harmless ones, and a program with root's reading rights
    would read disks.

    Args:
        all_open: the program's root contains nothing else anyway.
        private: the program could read files that are kept from other users; those of ``/etc`` are left out.
    """
    if all_open:
        return ["/"]
    found = [*rootfs.visible(folders), "/proc"]
    for folder, depth in _MIXED.items() if private else ():
        if folder in found:
            found.remove(folder)
            found += open_to_all(folder, depth)
    return found


def open_to_all(folder: str, depth: int = 100) -> list[str]:
    """The files and folders below ``folder`` that every user may read, as few as possible.

    A folder that contains anything private, however deep, is replaced by its parts. Links are skipped: they lead to
    what is listed elsewhere, or to what is not shown. Below ``depth`` levels everything is assumed to be open.
    """
    all_open, parts = _parts(folder, depth)
    return [folder] if all_open else parts


def _parts(folder: str, depth: int) -> tuple[bool, list[str]]:
    """Whether everything in a folder is open, and its open parts."""
    all_open, parts = True, []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    continue
                if not stat.S_ISDIR(mode):
                    if stat.S_ISREG(mode) and mode & 0o004:
                        parts.append(entry.path)
                    else:
                        all_open = False
                elif not mode & 0o001:
                    all_open = False
                else:
                    all_of_it, some = _parts(entry.path, depth - 1) if depth > 1 else (True, [])
                    all_of_it = all_of_it and bool(mode & 0o004)
                    all_open = all_open and all_of_it
                    parts += [entry.path] if all_of_it else some
    except OSError:
        # It is being removed, or is not ours.
        return False, []
    return all_open, parts
