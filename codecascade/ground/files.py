"""Files that are whole or absent, and locks that the kernel lets go.

Everything is written beside its final name, flushed to the disk and renamed into place, so that a
reader (or a resumed run) never meets half a file. A full disk becomes a :class:`UserError`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from codecascade.ground.bounded import MOST_JSON, decode_json, read_bytes
from codecascade.ground.errors import UserError
from codecascade.ground.text_files import json_object, parse_json, read_text, text_lines

_ENDS = 1 << 20
_TEMPORARY = re.compile(r"\..+\.(?:jsonl?|md|html|svg)\.[a-z0-9_]{8}")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_errors(path: str | Path) -> Iterator[None]:
    """Turn "no space", "read-only" and "permission denied" into a sentence that names ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise UserError(
                "the disk is full; make room and run again (nothing is lost)", file=path
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(
                f"can't be written ({error.strerror}); choose another folder", file=path
            ) from error
        raise


def atomic_write(path: str | Path, data: str | bytes) -> None:
    """Replace ``path`` by ``data`` (text is written as UTF-8), or leave it as it was."""
    _atomic_write(Path(path), [data.encode() if isinstance(data, str) else data])


def _atomic_write(path: Path, parts: Iterable[bytes]) -> None:
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        file.writelines(parts)


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """An empty file beside ``path`` that becomes it when the block has filled it; if the block fails, it is gone."""
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            os.fchmod(descriptor, 0o666 & ~_umask())
            os.close(descriptor)
            yield Path(name)
            _sync(name)
            os.replace(name, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
        _sync(path.parent)


def remove_leftovers(folder: str | Path) -> None:
    """Remove what killed processes left of files that they were writing into a folder; nobody must be writing now."""
    for path in Path(folder).glob(".*.????????"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A new empty folder that becomes ``path`` when the block ends without an exception.

    An old folder of that name is replaced as a whole. If the process dies midway, ``path`` is as it was,
    save for the instant between two renames, which :func:`recover_folder` mends.
    """
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(path)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.new-", dir=path.parent))
        try:
            os.chmod(temporary, 0o777 & ~_umask())
            yield temporary
            _put_in_place(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            recover_folder(path)
            raise


def publish_folder(folder: str | Path, path: str | Path) -> None:
    """Make a finished ``folder`` (of the same file system) the new ``path``, as :func:`atomic_folder` does."""
    folder, path = Path(folder), Path(path)
    with disk_errors(path):
        recover_folder(path)
        _put_in_place(folder, path)


def _put_in_place(folder: Path, path: Path) -> None:
    _sync_tree(folder)
    old = path.with_name(f".{path.name}.old")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
    os.rename(folder, path)
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(path: str | Path) -> None:
    """Finish or undo what a killed :func:`atomic_folder` left beside ``path``."""
    path = Path(path)
    old = path.with_name(f".{path.name}.old")
    if old.exists():
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, path)
    for left_over in path.parent.glob(f".{path.name}.new-*"):
        shutil.rmtree(left_over, ignore_errors=True)


class FolderLock:
    """At most one process works in a folder: ``with FolderLock(folder): ...``.

    The lock is the kernel's (``flock`` on ``folder/.lock``): it is gone when the process is, however it died.

    Raises:
        UserError: another process holds it, or no folder can be made there.
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
                return open(self.folder / ".lock", "a")  # held open: closing it lets the lock go
            except (FileExistsError, FileNotFoundError, NotADirectoryError):
                raise UserError("is no folder, and none can be made there", file=self.folder) from None

    def _is_in_place(self, file: IO[str]) -> bool:
        """Whether nobody has removed the file between its opening and its locking."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), os.stat(self.folder / ".lock"))
        except FileNotFoundError:
            return False

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if self._file is not None:
            if kind is not None and self._made and self._holds_nothing():
                self._remove()
            self._file.close()
            self._file = None

    def _holds_nothing(self) -> bool:
        try:
            return os.listdir(self.folder) == [".lock"]
        except OSError:
            # whoever works in the folder has removed or published it
            return False

    def _remove(self) -> None:
        """Work that ended before it wrote anything leaves no folder behind, and none above that was made for it."""
        with suppress(OSError):
            (self.folder / ".lock").unlink()
            for folder in self._made:
                folder.rmdir()


def read_json(path: str | Path, most: int = MOST_JSON) -> Any:
    """The content of a JSON file, whoever wrote it (:mod:`codecascade.ground.bounded`); ``.gz`` is compressed.

    Raises:
        UserError: the file is missing, can't be read, is larger than ``most`` bytes, or is not JSON.
    """
    if str(path).endswith(".gz"):
        return parse_json(read_text(path), path)
    return decode_json(read_bytes(path, most), path)


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    atomic_write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(line number from 1, object)`` for each line of a JSON-lines file, also ``.gz``.

    Empty lines are passed over. Lines may begin with a byte order mark, as files of Notepad, PowerShell and Excel do.

    Raises:
        UserError: the file is missing, or a line is not a JSON object (file and line are named).
    """
    for number, line in enumerate(text_lines(path), 1):
        line = line.removeprefix("\ufeff")
        if line.strip():
            yield number, json_object(parse_json(line, f"{path}:{number}"), f"{path}:{number}")


def write_jsonl(path: str | Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically; of ``rows`` one is held at a time."""
    _atomic_write(Path(path), (json_line(row) for row in rows))


def json_line(row: dict[str, Any]) -> bytes:
    """An object as a line of a JSON-lines file. Half a surrogate pair, which a model can write, stays an escape."""
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(row) + "\n").encode()


class JsonlAppender:
    """Appends JSON objects to a file, each line flushed at once so that a reader can follow."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  (closed by close)

    def write(self, row: dict[str, Any]) -> None:
        with disk_errors(self.path):
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> JsonlAppender:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def digest_of(path: Path) -> str:
    """What tells a file or folder from another: names and contents; of large files size, beginning and end."""
    state = hashlib.blake2b(digest_size=8)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            size = file.stat().st_size
            state.update(f"{file.name} {size}\n".encode())
            with open(file, "rb") as opened:
                state.update(opened.read(_ENDS))
                if size > _ENDS:
                    opened.seek(max(_ENDS, size - _ENDS))
                    state.update(opened.read(_ENDS))
    return state.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: str | Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(os.path.join(root, name))
        _sync(root)
