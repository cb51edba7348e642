"""Limits on the content of a table relative to its file size."""

from __future__ import annotations

import io
from typing import IO, Any, cast

from codecascade.corpus.sources.archives.members import MOST_MEMBERS, BombError

MOST_EXPANSION = 200
"""Most bytes of content for each byte of file; rows of code reach 20."""
FREE_BYTES = 100_000_000
"""Bytes of content that every table may expand to, however small it is."""
BYTES_OF_A_ROW = 10
"""The least bytes of a file for each row, if it has millions of them."""
MOST_WITHOUT_TEXT = 1_000_000
"""Most rows without a text. Each becomes a row of ``dropped``, so there must be a limit."""
MOST_VALUES = 5_000_000
"""Most values in one row; each takes about sixty bytes when it is parsed."""
_SHORT = 10_000_000


class TableLimits:
    """The remaining allowance of a table.

    Args:
        size: of its file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self.content = max(FREE_BYTES, MOST_EXPANSION * size)
        self._rows = max(MOST_MEMBERS, size // BYTES_OF_A_ROW)
        self._without_text = MOST_WITHOUT_TEXT

    def row(self) -> None:
        """Count a row. Raises :class:`BombError` if there are too many."""
        self._rows -= 1
        if self._rows < 0:
            raise BombError

    def row_without_text(self) -> None:
        """Count a row without text. Raises :class:`BombError` if there are too many."""
        self._without_text -= 1
        if self._without_text < 0:
            raise BombError


class LimitedStream(io.RawIOBase):
    """A decompressed stream that raises :class:`BombError` when it gives more than it may.

    It returns available data before it continues, so that the rows before a damage can be read.
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
    """The stream with a limit, and with buffered reading of lines."""
    return cast(IO[bytes], io.BufferedReader(LimitedStream(stream, allowed), 1 << 16))


def has_too_many_values(line: bytes) -> bool:
    """Whether a line of JSON may contain so many values that parsing it would need many times its size in memory."""
    return len(line) > _SHORT and sum(line.count(sign) for sign in (b",", b"[", b"{")) > MOST_VALUES


def file_size(file: IO[bytes]) -> int:
    """The size of an open file in bytes; its position is 0 afterwards."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size
