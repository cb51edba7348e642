"""Paths as people give them, and whether one can be a folder or a file, found before any work is done there."""

from __future__ import annotations

import os
from pathlib import Path

from codecascade.ground.errors import UserError


def expanded(path: str | Path) -> Path:
    """``path`` with a home folder in place of its ``~``; that of an unknown user stays, as in a shell."""
    return Path(os.path.expanduser(path))


def check_folder_path(path: Path) -> None:
    """Check that ``path`` is a folder, or does not exist yet.

    Raises:
        UserError: it is something else, such as a file or a link to nothing.
    """
    if os.path.lexists(path) and not path.is_dir():
        raise UserError("is no folder, and a folder is needed here; move it away", file=path)


def check_file_path(path: Path) -> None:
    """Check that ``path`` is a regular file, or does not exist yet.

    Raises:
        UserError: it is something else, such as a folder.
    """
    if os.path.lexists(path) and not path.is_file():
        what = "is a folder" if path.is_dir() else "is no regular file"
        raise UserError(f"{what}, and a file is needed here; move it away", file=path)
