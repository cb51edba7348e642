"""Opens files of rows on this machine or at a remote address that fsspec supports.

``hf://datasets/OWNER/NAME/data/*.parquet`` goes through ``huggingface_hub``; ``s3://``, ``gs://`` and others need
the package that fsspec uses for them (``s3fs``, ``gcsfs``, ...).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import fsspec

from codecascade.ground.errors import RunFailed, UserError

_CHANGING_FIELDS = ("size", "mtime", "ETag", "LastModified", "md5Hash", "blob_id", "lfs", "sha", "created")
"""Fields of a file system's file information that change with the file's content."""
_BUFFER = 1 << 16


def is_remote(address: str) -> bool:
    """Whether an address is a URL for fsspec, not the path of a local file."""
    return "://" in address


def files_at(source: str, endings: tuple[str, ...]) -> list[str]:
    """The files that an fsspec address names: itself, the matches of a pattern, or the files below a folder.

    Raises:
        UserError: there is none with one of the ``endings``, or the address can't be reached.
    """
    with address_errors(source):
        filesystem, path = fsspec.core.url_to_fs(source)
        if any(sign in path for sign in "*?["):
            found = [name for name, info in filesystem.glob(path, detail=True).items() if _is_file(info)]
        elif filesystem.isdir(path):
            found = [name for name, info in filesystem.find(path, detail=True).items() if _is_file(info)]
        else:
            found = [path] if _is_there(filesystem, path) else []
        names = sorted(str(name) for name in found if str(name).lower().endswith(endings))
        addresses = [filesystem.unstrip_protocol(name) for name in names]
    if not addresses:
        raise UserError("there is no .jsonl or .parquet file there", file=source)
    return addresses


def open_address(address: str) -> IO[bytes]:
    """Open the raw bytes of a file for random access.

    Raises:
        UserError: the address can't be reached.
        RunFailed: a later read fails.
    """
    with address_errors(address):
        file = cast(IO[bytes], fsspec.open(address, "rb").open())
    return io.BufferedReader(_Remote(file, address), _BUFFER) if is_remote(address) else file


def address_stamp(address: str) -> str:
    """A text that changes when the file's content does.

    Raises:
        UserError: the address can't be reached.
    """
    with address_errors(address):
        filesystem, path = fsspec.core.url_to_fs(address)
        info = filesystem.info(path)
    return " ".join(str(info[key]) for key in _CHANGING_FIELDS if info.get(key) is not None)


@contextmanager
def address_errors(address: str) -> Iterator[None]:
    """Turn any error of a file system into one sentence."""
    try:
        yield
    # Each file system of fsspec raises the errors of its own library.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise UserError(f"can't be reached ({reason})", file=address) from None


class _Remote(io.RawIOBase):
    """A remote file.

    A network failure must end the build, which can be resumed later. Counting the missing content as unreadable
    would give a different corpus.
    """

    def __init__(self, file: IO[bytes], address: str) -> None:
        self._file, self._address = file, address

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        # Whatever the file system's library raises.
        except Exception as error:
            raise RunFailed(
                f"{self._address}: can't be reached any more ({error}); run again to continue"
            ) from None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _is_there(filesystem: Any, path: str) -> bool:
    # `exists` treats a network failure as a missing file.
    try:
        return _is_file(filesystem.info(path))
    except FileNotFoundError:
        return False


def _is_file(info: dict[str, object]) -> bool:
    # The type "other" is a pipe or a device, on which a reader would block.
    return info.get("type") not in ("directory", "other")
