"""Reading files that somebody else wrote: sizes are bounded, nothing blocks, errors name the file.

A file inside a folder (of a model, of a run) must be a regular file: :func:`read_bytes` and the functions that use
it. A file that the user names directly may be a pipe: :func:`text_lines`, :func:`read_text`. Files named ``.gz``
are decompressed.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from codecascade.ground.errors import UserError

MOST_JSON = 256 << 20
_LONGEST_LINE = 256 << 20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_DEEPEST_FILE = 64
_DEEPEST = 200
"""Most levels of nested JSON. Python's own limit depends on the depth of the caller, so it can't be relied on."""


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a file for reading bytes. Never blocks on a pipe, and refuses devices.

    Raises:
        UserError: it is missing, can't be opened, is not a regular file, or is only a Git LFS pointer.
    """
    return _open(path, pipes=False)


def read_bytes(path: str | Path, most: int) -> bytes:
    """The decompressed content of a file of at most ``most`` bytes. Raises as :func:`open_regular`, and if it is
    larger."""
    with open_regular(path) as file, _reading_errors(path):
        data = _unpacked(file, path).read(most + 1)
    if len(data) > most:
        raise UserError(f"is larger than {most:,} bytes, the most that is read of such a file", file=path)
    return data


def decode_text(data: bytes, path: str | Path) -> str:
    """UTF-8 text, without a byte order mark.

    Args:
        path: where it comes from, for messages.

    Raises:
        UserError: it is no UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 text ({error})", file=path) from None


def check_text(text: str, where: str) -> None:
    """Check a text of the command line or the terminal, whose bytes Python keeps as surrogates if they are no UTF-8.

    Args:
        where: it comes from, for messages.

    Raises:
        UserError: it was no UTF-8.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
    decode_text(data, where)


def read_standard_input() -> str:
    """The text of the standard input until its end; line ends are kept, a byte order mark is removed.

    Raises:
        UserError: it is no UTF-8, or can't be read.
    """
    with _reading_errors("standard input"):
        return decode_text(sys.stdin.buffer.read(), "standard input")


def read_text(path: str | Path) -> str:
    """A text file that the user names; line ends are kept, a byte order mark is removed. Raises as
    :func:`text_lines`."""
    return "".join(text_lines(path)).removeprefix("\ufeff")


def text_lines(path: str | Path) -> Iterator[str]:
    """The lines of a file, one by one, split only at line feeds. The file is never in memory as a whole.

    Raises:
        UserError: the file is missing, can't be read, is not UTF-8, or has a line of more than 2^28 characters.
    """
    with _open(path, pipes=True) as file, _reading_errors(path):
        lines = io.TextIOWrapper(_unpacked(file, path), encoding="utf-8", newline="\n")
        while line := lines.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise UserError(f"has a line of more than {_LONGEST_LINE:,} characters", file=path)
            yield line


def read_json(path: str | Path, most: int = MOST_JSON) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: the file is missing, can't be read, is larger than ``most`` bytes, or is not JSON.
    """
    return decode_json(read_bytes(path, most), path)


def read_object(path: str | Path, most: int) -> dict[str, Any]:
    """The object in a JSON file of at most ``most`` bytes; its strings can be encoded as UTF-8 again.

    Raises:
        UserError: the file can't be read, is not JSON (see :func:`decode_json`), or contains something else.
    """
    value = read_json(path, most)
    if not isinstance(value, dict):
        raise UserError("must hold an object", file=path)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UserError("holds half of a surrogate pair, which is no text", file=path) from None
    return value


def decode_json(data: bytes, path: str | Path) -> Any:
    """The value of a JSON text in UTF-8, with or without a byte order mark, nested at most 64 levels deep.

    Args:
        path: where it comes from, for messages.

    Raises:
        UserError: it is not JSON, or too deep.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"is not valid JSON ({error})", file=path) from None
    return parse_json(text, path, _DEEPEST_FILE)


def parse_json(text: str, where: str | Path, most_nested: int = _DEEPEST) -> Any:
    """The value of a JSON text that somebody else wrote.

    Of a duplicate key the last value counts, as in other parsers.

    Args:
        most_nested: most levels of lists and objects inside each other.

    Raises:
        UserError: it is not JSON, or is nested so deeply that other code would fail on it (``where`` is named).
    """
    too_deep = UserError(f"is nested too deeply (more than {most_nested} levels)", file=where)
    try:
        value = json.loads(text)
    except RecursionError:
        raise too_deep from None
    except json.JSONDecodeError as error:
        raise UserError(f"is not valid JSON ({error})", file=where) from None
    except ValueError:
        raise UserError("is not valid JSON (a number has thousands of digits)", file=where) from None
    # Counting all brackets is fast. Only texts with many brackets need the slower check of their depth.
    if text.count("[") + text.count("{") > most_nested and is_deeper(value, most_nested):
        raise too_deep
    return value


def json_object(value: Any, where: str | Path) -> dict[str, Any]:
    """``value``, which must be a JSON object. Raises UserError if it isn't."""
    if not isinstance(value, dict):
        raise UserError(f"must be a JSON object, not {type(value).__name__}", file=where)
    return value


def _open(path: str | Path, *, pipes: bool) -> IO[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | (0 if pipes else os.O_NONBLOCK))
    except FileNotFoundError:
        what = "is a link to a file that is not there" if os.path.islink(path) else "there is no such file"
        raise UserError(what, file=path) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"can't be opened ({reason})", file=path) from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode) or not (pipes or stat.S_ISREG(mode)):
        os.close(descriptor)
        what = "is a folder" if stat.S_ISDIR(mode) else "is a pipe, a socket or a device"
        raise UserError(f"can't be read: it {what}; name a file", file=path)
    file = os.fdopen(descriptor, "rb")
    if stat.S_ISREG(mode):
        try:
            with _reading_errors(path):
                _refuse_pointer(file, path)
        except UserError:
            file.close()
            raise
    return file


def _refuse_pointer(file: IO[bytes], path: str | Path) -> None:
    if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
        raise UserError(
            "is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder", file=path
        )
    file.seek(0)


def _unpacked(file: IO[bytes], path: str | Path) -> IO[bytes]:
    # GzipFile reads in chunks, and never holds more than was asked for.
    return gzip.GzipFile(fileobj=file) if str(path).endswith(".gz") else file  # type: ignore[return-value]


@contextmanager
def _reading_errors(path: str | Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 text ({error})", file=path) from None
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror or error})", file=path) from None
    except (EOFError, zlib.error) as error:
        raise UserError(f"can't be read ({error})", file=path) from None


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested more than ``levels`` deep. Goes level by level, without recursion."""
    containers = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        containers = [
            inner
            for container in containers
            for inner in (container.values() if isinstance(container, dict) else container)
            if isinstance(inner, dict | list)
        ]
    return bool(containers)
