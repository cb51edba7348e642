"""Reads the headers of a tar file forwards, with limits on memory and time.

``tarfile`` reads an extended header of any length into memory, and searches some contents in quadratic time. A
negative size, or one beyond the end, sends it into an endless loop. So each header is checked before ``tarfile``
uses it.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import IO, Any, Self, cast

from codecascade.corpus.sources.archives.members import BombError

LONGEST_HEADER = 256_000
"""Most bytes of an extended header or a long name. Real names need some hundred, file attributes some thousand."""
_LONG_NUMBER = re.compile(rb"[0-9]{200}")
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_PIECE = 1 << 20


class ForwardFile:
    """A forward-only stream with a limit on its total size, and the methods that ``tarfile`` needs.

    Args:
        stream: decompressed data.
        allowed: most bytes it may give.
    """

    def __init__(self, stream: IO[bytes], allowed: int) -> None:
        self._stream, self._left = stream, allowed
        self._ahead = b""
        self._position = 0

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer at the end.

        Raises:
            BombError: the stream is longer than allowed.
        """
        data = self.peek(size)[:size]
        self._ahead = self._ahead[size:]
        self._position += len(data)
        return data

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes or more, without consuming them."""
        pieces = [self._ahead]
        missing = size - len(self._ahead)
        while missing > 0:
            piece = self._stream.read(min(missing, _PIECE))
            if not piece:
                break
            self._left -= len(piece)
            if self._left < 0:
                raise BombError
            pieces.append(piece)
            missing -= len(piece)
        self._ahead = b"".join(pieces)
        return self._ahead

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        """Skip forwards to a position.

        Raises:
            tarfile.ReadError: it lies behind the current position, or beyond the end.
        """
        if position < self._position:
            raise tarfile.ReadError("a member ends before it begins")
        while self._position < position:
            if not self.read(min(_PIECE, position - self._position)):
                raise tarfile.ReadError("a member is longer than the archive")
        return self._position


class _Header(tarfile.TarInfo):
    """A header that is checked before ``tarfile`` reads what follows it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            # tarfile would take the archive for ended, and silently skip the members after this one.
            raise tarfile.ReadError(f"a damaged header ({error})") from None

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.size < 0:
            raise tarfile.ReadError("a negative size")
        if self.type in (*_EXTENDED, *_LONG_NAMES):
            if self.size > LONGEST_HEADER:
                raise tarfile.ReadError("a header without end")
            if self.type in _EXTENDED:
                blocks = -(-self.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if not is_pax(cast(ForwardFile, archive.fileobj).peek(blocks)[:blocks]):
                    raise tarfile.ReadError("a header that is none")
        return super()._proc_member(archive)  # type: ignore[misc]


def is_pax(data: bytes) -> bool:
    """Whether the data of an extended header is valid: records ``LENGTH KEY=VALUE`` with a newline, then only zeros.

    >>> is_pax(b"11 path=ab\\n" + bytes(9)), is_pax(b"111111"), is_pax(b"12 path=ab\\n"), is_pax(b"")
    (True, False, False, True)
    """
    position = 0
    while position < len(data) and data[position]:
        space = data.find(b" ", position, position + 12)
        if space < 0 or not data[position:space].isdigit():
            return False
        end = position + int(data[position:space])
        if not space < end - 1 < len(data) or data[end - 1 : end] != b"\n":
            return False
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or (key == b"size" and not value.isdigit()):
            return False
        position = end
    return not data[position:].strip(b"\0") and _LONG_NUMBER.search(data) is None


def headers(file: ForwardFile) -> Iterator[tarfile.TarInfo]:
    """The members of a tar file; at each, the stream is at the beginning of its content.

    Raises:
        tarfile.TarError: the archive is damaged.
        BombError: it is too long.
    """
    with tarfile.open(fileobj=cast(IO[bytes], file), mode="r:", tarinfo=_Header) as opened:
        while (info := opened.next()) is not None:
            # tarfile would keep all of them in memory.
            opened.members.clear()  # type: ignore[attr-defined]
            if info.size < 0:
                raise tarfile.ReadError("a negative size")
            yield info
