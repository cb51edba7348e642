"""How much a table may hold for its size, and a row for its own."""

from __future__ import annotations

import io
from typing import IO, Any, cast

from codecascade.corpus.sources.archives.members import MOST_MEMBERS, BombError

MOST_EXPANSION = 200
"""Bytes of content for a byte of file; rows of code reach 20."""
FREE_BYTES = 100_000_000
"""Content that a table may expand to, however small it is."""
BYTES_OF_A_ROW = 10
"""That a row takes in a file at least, where there are millions."""
MOST_WITHOUT_TEXT = 1_000_000
"""Rows without a text, each of which stands in the account; a table of more is none."""
MOST_VALUES = 5_000_000
"""Values of a row, each of which takes some sixty bytes when it is read."""
_SHORT = 10_000_000


class TableLimits:
    """What is left of what a table may hold.

    Args:
        size: of its file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self.content = max(FREE_BYTES, MOST_EXPANSION * size)
        self._rows = max(MOST_MEMBERS, size // BYTES_OF_A_ROW)
        self._without_text = MOST_WITHOUT_TEXT

    def row(self) -> None:
        """Count a row. Raises :class:`BombError`."""
        self._rows -= 1
        if self._rows < 0:
            raise BombError

    def row_without_text(self) -> None:
        """Count a row that goes to the account. Raises :class:`BombError`."""
        self._without_text -= 1
        if self._without_text < 0:
            raise BombError


class LimitedStream(io.RawIOBase):
    """A decompressed stream that raises :class:`BombError` where it gives more than it may.

    It gives what is there before it goes on, so that what lies before a damage can be had.
    """

    def __init__(self, stream: IO[bytes], allowed: int) -> None:
        self._stream, self._left = stream, allowed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = cast(io.BufferedReader, self._stream).read1(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise BombError
        buffer[: len(data)] = data
        return len(data)


def limited(stream: IO[bytes], allowed: int) -> IO[bytes]:
    """The same stream with a limit, for reading by lines."""
    return cast(IO[bytes], io.BufferedReader(LimitedStream(stream, allowed), 1 << 16))


def has_too_many_values(line: bytes) -> bool:
    """Whether a line of JSON may hold so many values that reading it takes many times its length in memory."""
    return len(line) > _SHORT and sum(line.count(sign) for sign in (b",", b"[", b"{")) > MOST_VALUES


def file_size(file: IO[bytes]) -> int:
    """Of an open file, in bytes; it stands at its beginning afterwards."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size
