"""Reads the content of candidates from their containers.

A candidate is a file or a table row that may become a document. Its container is the archive, table or repository
that it is stored in.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Protocol

from codecascade.corpus.reading.encoding import DecodedText, UnreadableError, decoded
from codecascade.corpus.reading.pointers import pointer_kind
from codecascade.corpus.sources.archives.archives import TarReader, ZipReader
from codecascade.corpus.sources.candidates import Candidate
from codecascade.corpus.sources.git.objects import GitObjects
from codecascade.corpus.sources.tables.rows import CompressedJsonLinesReader, JsonLinesReader, ParquetReader


class ContainerReader(Protocol):
    """An open container of candidates."""

    def read(self, locator: str, limit: int) -> bytes | str:
        """The content of one candidate: the bytes of a file, or the text of a row.

        Raises:
            UnreadableError: it can't be read, or is longer than ``limit`` bytes.
        """
        ...

    def close(self) -> None: ...


class FileReader:
    """Plain files; ``locator`` is the path."""

    def __init__(self, container: str) -> None:
        pass

    def read(self, locator: str, limit: int) -> bytes:
        try:
            # What was a file when it was listed may be a link or a pipe by now.
            descriptor = os.open(locator, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise UnreadableError("unreadable")
                data = file.read(limit + 1)
        except (OSError, ValueError):
            raise UnreadableError("unreadable") from None
        if len(data) > limit:
            raise UnreadableError("larger than max_file_bytes")
        return data

    def close(self) -> None:
        pass


class MetadataReader(FileReader):
    """The description in a Python core metadata file: everything after the first empty line."""

    def read(self, locator: str, limit: int) -> bytes:
        description = super().read(locator, limit).replace(b"\r\n", b"\n").partition(b"\n\n")[2]
        if not description.strip():
            raise UnreadableError("empty")
        return description


READERS: dict[str, Callable[[str], ContainerReader]] = {
    "compressed jsonl": CompressedJsonLinesReader,
    "file": FileReader,
    "git": GitObjects,
    "jsonl": JsonLinesReader,
    "metadata": MetadataReader,
    "parquet": ParquetReader,
    "tar": TarReader,
    "zip": ZipReader,
}
TABLE_READERS = frozenset({"compressed jsonl", "jsonl", "parquet"})
"""Readers of tables. A table may have a column that states the language of each row."""
FORWARD_READERS = frozenset({"compressed jsonl", "tar"})
"""Readers without random access: they read a container from its beginning each time."""


class CandidateContents:
    """Reads candidates. The last container stays open, because the next candidate is usually in it, too."""

    def __init__(self) -> None:
        self._key: tuple[str, str] | None = None
        self._reader: ContainerReader | None = None

    def text(self, candidate: Candidate, limit: int) -> str:
        """The decoded text of a candidate. Raises as :meth:`decoded`."""
        return self.decoded(candidate, limit).text

    def decoded(self, candidate: Candidate, limit: int) -> DecodedText:
        """A candidate's text and the encoding it was decoded from ("" for a row, which is text already).

        Raises:
            UnreadableError: it can't be read; the message is the reason for ``dropped.parquet``.
        """
        key = candidate.reader, candidate.container
        if key != self._key or self._reader is None:
            self.close()
            self._reader = READERS[candidate.reader](candidate.container)
            self._key = key
        content = self._reader.read(candidate.locator, limit)
        found = decoded(content) if isinstance(content, bytes) else DecodedText(content, "")
        if (reason := pointer_kind(found.text)) is not None:
            raise UnreadableError(reason)
        return found

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = self._key = None
