"""Files and folders that are written completely or not at all.

Everything is written to a temporary name beside the final one, flushed to the disk and then renamed. So a reader,
or a run that is resumed, never sees half a file. A full disk becomes a :class:`UserError`.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from codecascade.ground.errors import UserError

_ENDS = 1 << 20
_TEMPORARY = re.compile(r"\..+\.(?:jsonl?|md|html|svg)\.[a-z0-9_]{8}")
# What tempfile ends a name with.
_RANDOM = "[a-z0-9_]" * 8
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# A disk, a network file system or a limit on files fails; what a program does wrong has other numbers.
_FAILED = (
    errno.EFBIG,
    errno.EIO,
    errno.ESTALE,
    errno.ENXIO,
    errno.ENODEV,
    getattr(errno, "EREMOTEIO", errno.EIO),
)
# A file where a folder is needed, or the other way round.
_IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
_OVERTAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)
# How often another process may come between two renames.
_ATTEMPTS = 100


@contextmanager
def disk_errors(path: str | Path) -> Iterator[None]:
    """Turn "no space", "read-only", "permission denied" and faults of the disk into sentences that name ``path``."""
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
        if error.errno in _IN_THE_WAY:
            there = f": {error.filename}" if error.filename and str(error.filename) != str(path) else ""
            raise UserError(
                f"can't be written ({error.strerror}{there}); move it away or choose another place", file=path
            ) from error
        if error.errno in _FAILED:
            raise UserError(
                f"can't be written ({error.strerror}); check the disk and the limits on it, and run again "
                "(nothing is lost)",
                file=path,
            ) from error
        raise


def atomic_write(path: str | Path, data: str | bytes) -> None:
    """Replace the content of ``path`` by ``data`` (text is written as UTF-8); if that fails, the old file is kept."""
    atomic_write_parts(path, [data.encode() if isinstance(data, str) else data])


def atomic_write_parts(path: str | Path, parts: Iterable[bytes]) -> None:
    """:func:`atomic_write` for data in chunks; only one chunk is in memory at a time."""
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        file.writelines(parts)


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """An empty temporary file that is renamed to ``path`` after the block; if the block fails, it is removed."""
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = _temporary_file(path)
        try:
            yield Path(name)
            _obey_umask(name)
            _sync(name)
            os.replace(name, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
        finally:
            os.close(descriptor)
        _sync(path.parent)


def _temporary_file(path: Path) -> tuple[int, str]:
    """The open descriptor of a new file beside ``path``, which keeps others from taking it for a leftover, and its
    name."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        # otherwise another process took it for a leftover before it was locked
        if _lock(descriptor) and os.path.exists(name):
            return descriptor, name
        os.close(descriptor)


def remove_abandoned(path: str | Path) -> None:
    """Remove what killed processes left of a large file ``path``; what another process is writing stays."""
    path = Path(path)
    for left_over in path.parent.glob(f".{glob.escape(path.name)}.{_RANDOM}"):
        # another user's stays, too
        with suppress(PermissionError):
            lock = None if left_over.is_symlink() or not left_over.is_file() else _locked(left_over)
            if lock is not None:
                left_over.unlink(missing_ok=True)
                os.close(lock)


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files that killed processes left in a folder. No other process may be writing there."""
    for path in Path(folder).glob(".*.????????"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A new empty folder that is renamed to ``path`` when the block ends without an exception.

    An old folder of that name is replaced. If the process dies midway, ``path`` is unchanged, except between the
    two renames; :func:`recover_folder` repairs that case. Of several processes that write the same folder at once,
    the last one to finish counts.
    """
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(path)
        temporary, lock = _temporary_folder(path)
        try:
            yield temporary
            _put_in_place(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            recover_folder(path)
            raise
        finally:
            os.close(lock)


def _temporary_folder(path: Path) -> tuple[Path, int]:
    """A new folder beside ``path``, and the open descriptor that keeps others from taking it for a leftover."""
    while True:
        temporary = tempfile.mkdtemp(prefix=f".{path.name}.new-", dir=path.parent)
        lock = _locked(temporary)
        # None: another process took it for a leftover before it was locked
        if lock is not None:
            return Path(temporary), lock


def _locked(path: str | Path) -> int | None:
    """A descriptor that holds the lock of a file or folder until it is closed; None if another has it or it is gone.

    The kernel ends the lock with its process, so that nobody holds that of what a killed one left. Where the file
    system has no locks, none is held by anybody.
    """
    # Network file systems lock a file alone for whoever may write to it. A folder can't be opened so.
    access = os.O_RDONLY if os.path.isdir(path) else os.O_RDWR
    try:
        descriptor = os.open(path, access | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    if _lock(descriptor) and os.path.exists(path):
        return descriptor
    os.close(descriptor)
    return None


def _lock(descriptor: int) -> bool:
    """Lock an open file or folder; False if another has locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # a file system without locks
        return True
    return True


def publish_folder(folder: str | Path, path: str | Path) -> None:
    """Rename a finished ``folder`` (on the same file system) to ``path``, as :func:`atomic_folder` does."""
    folder, path = Path(folder), Path(path)
    with disk_errors(path):
        recover_folder(path)
        _put_in_place(folder, path)


def _put_in_place(folder: Path, path: Path) -> None:
    for name in _tree(folder):
        _obey_umask(name)
        _sync(name)
    old = path.with_name(f".{path.name}.old")
    for attempt in range(_ATTEMPTS):
        try:
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)
                os.rename(path, old)
            os.rename(folder, path)
            break
        except OSError as error:
            # another process puts its own folder in place
            if error.errno not in _OVERTAKEN or not folder.exists() or attempt == _ATTEMPTS - 1:
                raise
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(path: str | Path) -> None:
    """Finish or undo what a killed :func:`atomic_folder` left beside ``path``; what is being written stays."""
    path = Path(path)
    old = path.with_name(f".{path.name}.old")
    if old.exists():
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            try:
                os.rename(old, path)
            except OSError as error:
                # another process puts its own folder in place
                if error.errno not in _OVERTAKEN:
                    raise
    for left_over in path.parent.glob(f".{glob.escape(path.name)}.new-*"):
        # another user's stays, too
        with suppress(PermissionError):
            lock = _locked(left_over)
            if lock is not None:
                shutil.rmtree(left_over, ignore_errors=True)
                os.close(lock)


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    atomic_write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def content_digest(path: Path) -> str:
    """A hash of a file, or of all files of a folder: names, sizes and contents (of large files the first and last
    MB)."""
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


def _obey_umask(path: str | Path) -> None:
    """Give a file or folder the permissions that the user's umask allows: some libraries make files of mode 0600."""
    if os.path.islink(path):
        return
    mode = stat.S_IMODE(os.stat(path).st_mode)
    wanted = mode | ((0o777 if os.path.isdir(path) else 0o666) & ~_umask())
    if mode != wanted:
        os.chmod(path, wanted)


def _umask() -> int:
    # os.umask can only be asked by setting it, and other threads would make files meanwhile
    with suppress(OSError), open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync(path: str | Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tree(folder: Path) -> Iterator[str]:
    """The files and folders of ``folder``, what is inside before what it is in, and ``folder`` itself."""
    for root, _, names in os.walk(folder, topdown=False):
        yield from (os.path.join(root, name) for name in names)
        yield root
