"""What Landlock lets programs read, and what of that everybody may read."""

from __future__ import annotations

import os
import stat

from codecascade.sandbox.inside.kernel import rootfs

# As far down as private files are looked for: configuration to its end, programs at their first levels.
_MIXED = {"/etc": 100, "/opt": 2}


def readable_paths(folders: list[str], *, all_open: bool, private: bool) -> list[str]:
    """The files and folders for a program to read: the system's and ``folders``.

    No device is among them: the harmless ones are Landlock's own matter, and a program that reads what only root may
    would read disks.

    Args:
        whole: its root holds nothing else anyway.
        private: it could read what is kept from others; what ``/etc`` keeps from them is left out.
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
    """The files and whole folders below ``folder`` that any user may read, as few as name them all.

    A folder with anything private in it, however deep, is named by its parts. Links are passed over: they lead to
    what is named elsewhere, or to what is not shown. Below ``depth`` folders all is taken to be as open.
    """
    all_open, parts = _parts(folder, depth)
    return [folder] if all_open else parts


def _parts(folder: str, depth: int) -> tuple[bool, list[str]]:
    """Whether all of a folder is open, and what is in it."""
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
        return False, []  # it goes away meanwhile, or is none of ours
    return all_open, parts
