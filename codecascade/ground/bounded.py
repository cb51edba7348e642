"""Reading files that somebody else wrote: regular files only, bounded in size, never a wait, never a traceback."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import IO, Any

from codecascade.ground.errors import UserError
from codecascade.ground.text_files import parse_json

MOST_JSON = 256 << 20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_DEEPEST_JSON = 64


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a file that somebody else wrote, for reading bytes. Never waits, as on a pipe, and starts no device.

    Raises:
        UserError: it is not there, can't be opened, is no regular file, or is a Git LFS pointer in the file's place.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        what = "is a link to a file that is not there" if os.path.islink(path) else "there is no such file"
        raise UserError(what, file=path) from None
    except OSError as error:
        raise UserError(f"can't be opened ({error.strerror})", file=path) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "is a folder" if stat.S_ISDIR(mode) else "is a pipe, a socket or a device"
        raise UserError(f"{what}; a file is wanted", file=path)
    file = os.fdopen(descriptor, "rb")
    try:
        head = file.read(len(_LFS_POINTER))
    except OSError as error:
        file.close()
        raise UserError(f"can't be read ({error.strerror})", file=path) from None
    if head == _LFS_POINTER:
        file.close()
        raise UserError(
            "is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder", file=path
        )
    file.seek(0)
    return file


def read_bytes(path: str | Path, most: int) -> bytes:
    """The content of a file of at most ``most`` bytes. Raises as :func:`open_regular`, and for a larger file."""
    with open_regular(path) as file:
        try:
            data = file.read(most + 1)
        except OSError as error:
            raise UserError(f"can't be read ({error.strerror})", file=path) from None
    if len(data) > most:
        raise UserError(f"is larger than {most:,} bytes, the most that is read of such a file", file=path)
    return data


def read_text(path: str | Path, most: int) -> str:
    """The content of a UTF-8 file, without a byte order mark. Raises as :func:`read_bytes`."""
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 text ({error})", file=path) from None


def decode_json(data: bytes, path: str | Path) -> Any:
    """What JSON says: in UTF-8 with or without a byte order mark, and not deeper than 64 levels.

    Args:
        path: where it comes from, for messages.

    Raises:
        UserError: it is not JSON, or too deep.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"is not valid JSON ({error})", file=path) from None
    return parse_json(text, path, _DEEPEST_JSON)


def read_object(path: str | Path, most: int) -> dict[str, Any]:
    """The object in a JSON file of at most ``most`` bytes, whose texts can be written again.

    Raises:
        UserError: the file can't be read, is no JSON (see :func:`decode_json`), or holds something else.
    """
    value = decode_json(read_bytes(path, most), path)
    if not isinstance(value, dict):
        raise UserError("must hold an object", file=path)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UserError("holds half of a surrogate pair, which is no text", file=path) from None
    return value
