"""Decompresses files by their magic numbers, and reads them forwards."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable
from typing import IO, cast

import pyarrow as pa

from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.faults import FILE_ERRORS

_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
"""A frame to be skipped, with which a zstd file may begin (RFC 8878, 3.1.2); ``pzstd`` writes one."""


def decompressed(file: IO[bytes]) -> IO[bytes]:
    """The content of a gzip, bzip2, xz or zstd file; any other file unchanged."""
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if magic.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(file))
    if magic.startswith(b"\xfd7zXZ"):
        return cast(IO[bytes], lzma.open(file))
    if magic.startswith(b"\x28\xb5\x2f\xfd") or _SKIPPABLE.match(magic):
        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))
    return file


class ForwardReader:
    """Reads pieces of a file's content by position; going back restarts from the beginning.

    Args:
        open_file: opens the raw file, compressed or not.
    """

    def __init__(self, open_file: Callable[[], IO[bytes]]) -> None:
        self._open_file = open_file
        self._file: IO[bytes] | None = None
        self._stream: IO[bytes] | None = None
        self._position = 0
        self._damaged_from: int | None = None

    def read(self, start: int, size: int) -> bytes:
        """The bytes from ``start`` to ``start + size``.

        Raises:
            UnreadableError: the file can't be opened, or is damaged or ends before that.
        """
        if self._damaged_from is not None and start + size > self._damaged_from:
            raise UnreadableError("damaged or encrypted")
        try:
            if self._stream is None or start < self._position:
                self.close()
                self._file = self._open_file()
                self._stream, self._position = decompressed(self._file), 0
            while self._position < start:
                passed = len(self._stream.read(min(1 << 20, start - self._position)))
                if not passed:
                    raise EOFError
                self._position += passed
            data = self._stream.read(size)
            if len(data) < size:
                raise EOFError
        except FILE_ERRORS:
            # The state of the stream is unknown now, so nothing after this position can be read either.
            self._damaged_from = start + size
            self.close()
            raise UnreadableError("damaged or encrypted") from None
        self._position += size
        return data

    def close(self) -> None:
        # gzip and bzip2 streams leave the file open.
        for stream in (self._stream, self._file):
            if stream is not None:
                stream.close()
        self._stream = self._file = None
