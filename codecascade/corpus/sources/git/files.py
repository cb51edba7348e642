"""Checks the files of a git folder before git opens them: git would block on a pipe or device."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from codecascade.ground.errors import UserError

_LARGEST = 256 << 20
"""Most bytes of a reference, a list of references or a configuration file; git reads them as a whole."""
_MOST = 3_000_000
"""Most files that are checked. With more, git's own time limit must do."""
_ANYTHING = frozenset({"lfs", "modules", "annex", "hooks", "logs", "rr-cache"})
"""Folders of other programs, and folders that are not used here."""


def check_files(repository: Path) -> frozenset[str]:
    """Check that git can open the files of a repository.

    Returns:
        The names of loose objects that are pipes or devices.

    Raises:
        UserError: a file that git needs is a pipe, a device, or far too large.
    """
    inside = repository / ".git"
    root = inside if os.path.lexists(inside) else repository
    if not root.is_dir():
        # A worktree has a file `.git` that names the folder; git follows it.
        if os.path.lexists(inside) and not inside.is_file():
            raise _refusal(repository, ".git")
        return frozenset()
    unreadable = set()
    for count, (path, status) in enumerate(_files(root)):
        if count > _MOST:
            break
        relative_path = path.removeprefix(f"{root}{os.sep}")
        kind = stat.S_IFMT(status.st_mode)
        if kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK):
            if (name := _loose_object(relative_path)) is None:
                raise _refusal(repository, relative_path)
            unreadable.add(name)
        elif status.st_size > _LARGEST and (
            relative_path.startswith("refs/") or ("/" not in relative_path and relative_path != "index")
        ):
            raise UserError(
                f"has a file {relative_path} of {status.st_size:,} bytes, which no repository needs",
                file=repository,
            )
    return frozenset(unreadable)


def _files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The files (and targets of links) below a git folder, with their status."""
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if folder != str(root) or entry.name not in _ANYTHING:
                            waiting.append(entry.path)
                    else:
                        yield entry.path, entry.stat()
        except OSError:
            # git reports what can't be listed.
            continue


def _loose_object(relative_path: str) -> str | None:
    parts = relative_path.split("/")
    if len(parts) == 3 and parts[0] == "objects" and len(parts[1]) == 2 and len(parts[2]) in (38, 62):
        return parts[1] + parts[2]
    return None


def _refusal(repository: Path, relative_path: str) -> UserError:
    return UserError(
        f"holds {relative_path}, which is a pipe or a device, so git would wait at it; remove it",
        file=repository,
    )
