"""Files of rows wherever they lie: on this machine, or at an address that fsspec reaches.

``hf://datasets/OWNER/NAME/data/*.parquet`` goes through ``huggingface_hub``; ``s3://``, ``gs://`` and others need
the package that fsspec names for them (``s3fs``, ``gcsfs``...).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import fsspec

from codecascade.ground.errors import RunFailed, UserError

_CHANGING_FIELDS = ("size", "mtime", "ETag", "LastModified", "md5Hash", "blob_id", "lfs", "sha", "created")
"""What file systems say of a file that changes with its content."""
_BUFFER = 1 << 16


def is_remote(address: str) -> bool:
    """Whether an address is for fsspec, not the path of a file."""
    return "://" in address


def files_at(source: str, endings: tuple[str, ...]) -> list[str]:
    """The files that a fsspec address names: itself, a pattern's matches, or what lies below a folder.

    Raises:
        UserError: there are none with one of the ``endings``, or the place can't be reached.
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
    """A file's bytes as they are, for reading at any place.

    Raises:
        UserError: it can't be reached.
        RunFailed: at a later read, it can't be any more.
    """
    with address_errors(address):
        file = cast(IO[bytes], fsspec.open(address, "rb").open())
    return io.BufferedReader(_Remote(file, address), _BUFFER) if is_remote(address) else file


def address_stamp(address: str) -> str:
    """What changes when a file's content does.

    Raises:
        UserError: it can't be reached.
    """
    with address_errors(address):
        filesystem, path = fsspec.core.url_to_fs(address)
        info = filesystem.info(path)
    return " ".join(str(info[key]) for key in _CHANGING_FIELDS if info.get(key) is not None)


@contextmanager
def address_errors(address: str) -> Iterator[None]:
    """Turn what goes wrong on the way to a file into one sentence."""
    try:
        yield
    except Exception as error:  # every file system of fsspec raises what its own library does
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise UserError(f"can't be reached ({reason})", file=address) from None


class _Remote(io.RawIOBase):
    """A file at a distance. A network that fails must end the build, which can go on later: to count what it doesn't
    give as unreadable would make another corpus.
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
        except Exception as error:  # whatever the file system's library raises
            raise RunFailed(
                f"{self._address}: can't be reached any more ({error}); run again to go on"
            ) from None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _is_there(filesystem: Any, path: str) -> bool:
    try:  # `exists` takes a network that fails for a file that isn't there
        return _is_file(filesystem.info(path))
    except FileNotFoundError:
        return False


def _is_file(info: dict[str, object]) -> bool:
    # "other" is a pipe or a device, at which a reader would wait
    return info.get("type") not in ("directory", "other")
