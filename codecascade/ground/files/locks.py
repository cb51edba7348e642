"""A lock on a folder; the kernel releases it when its process ends, for whatever reason."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import disk_errors


class FolderLock:
    """At most one process works in a folder: ``with FolderLock(folder): ...``.

    It is a ``flock`` on ``folder/.lock``, so the kernel releases it when the process ends, for whatever reason.

    Raises:
        UserError: another process has the lock, or the folder can't be created.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._file: IO[str] | None = None
        self._made: list[Path] = []

    def __enter__(self) -> FolderLock:
        with disk_errors(self.folder):
            self._made = [each for each in (self.folder, *self.folder.parents) if not each.exists()]
        while self._file is None:
            file = self._open()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                raise UserError(
                    "another codecascade process is working here; wait for it or choose another folder",
                    file=self.folder,
                ) from None
            if self._is_in_place(file):
                self._file = file
            else:
                file.close()
        return self

    def _open(self) -> IO[str]:
        with disk_errors(self.folder):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                # The file stays open, because closing it releases the lock.
                return open(self.folder / ".lock", "a")
            except (FileExistsError, FileNotFoundError, NotADirectoryError):
                raise UserError("is no folder, and none can be made there", file=self.folder) from None

    def _is_in_place(self, file: IO[str]) -> bool:
        """Whether the locked file is still the one at its path: another process may have removed it in between."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), os.stat(self.folder / ".lock"))
        except FileNotFoundError:
            return False

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if self._file is not None:
            if kind is not None and self._made and self._is_empty():
                self._remove()
            self._file.close()
            self._file = None

    def _is_empty(self) -> bool:
        try:
            return os.listdir(self.folder) == [".lock"]
        except OSError:
            # The process that works in the folder has removed or published it.
            return False

    def _remove(self) -> None:
        """Remove the folders that were created for work that ended before it wrote anything."""
        with suppress(OSError):
            (self.folder / ".lock").unlink()
            for folder in self._made:
                folder.rmdir()
