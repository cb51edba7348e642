"""A file of JSON lines to which a long run adds what it has done, so that a killed process loses none of it.

The first line is the header. Every other line has a ``crc``
(:func:`~codecascade.ground.files.json_lines.checked_line`). A line is flushed as it is written, so that a killed
process loses none. Every few seconds, and at the end, the file is synchronised with the disk, so that a machine that
loses power loses few lines. A line ``{"seconds": 1.2}`` then says for how long the file was open since the last one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codecascade.ground.files.atomic import disk_errors
from codecascade.ground.files.json_lines import checked_line, read_checked_line


class JournalFile:
    """An open journal. Threads may share it.

    Args:
        sync_seconds: how often the file is synchronised with the disk.

    Attributes:
        seconds: for how long the journal was open, over all processes that read its lines and added to them.
    """

    def __init__(self, path: Path, sync_seconds: float) -> None:
        self.path = path
        self._sync_seconds = sync_seconds
        self._earlier = 0.0
        self._synchronised = time.monotonic()
        self._lock = threading.Lock()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Closed by close.
            self._file = open(path, "a+b")  # noqa: SIM115

    @property
    def seconds(self) -> float:
        return self._earlier + time.monotonic() - self._synchronised

    def header_line(self) -> bytes:
        """The first line as it stands in the file; incomplete or empty if there is none."""
        with self._lock:
            self._file.seek(0)
            return self._file.readline()

    def begin(self, header_line: bytes) -> None:
        """Empty the file, and write its first line."""
        with self._lock, disk_errors(self.path):
            self._file.truncate(0)
            self._file.write(header_line)
            self._file.flush()

    def lines(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """``(position, entry)`` of each line behind the header; the entry is None where the line is damaged.

        An incomplete last line is cut off. To be read once, before anything is added.
        """
        position = len(self.header_line())
        self._file.seek(position)
        for line in iter(self._file.readline, b""):
            if not line.endswith(b"\n"):
                self._file.truncate(position)
                return
            entry = read_checked_line(line)
            if entry is not None and "seconds" in entry:
                self._earlier += entry["seconds"]
            else:
                yield position, entry
            position += len(line)

    def add(self, entry: dict[str, Any]) -> int:
        """Append a line; the position at which it begins."""
        with self._lock, disk_errors(self.path):
            position = self._file.seek(0, os.SEEK_END)
            self._file.write(checked_line(entry))
            self._file.flush()
            if time.monotonic() - self._synchronised > self._sync_seconds:
                self._synchronise()
        return position

    def line_at(self, position: int) -> bytes:
        """The line that begins at a position."""
        with self._lock:
            self._file.seek(position)
            return self._file.readline()

    def close(self) -> None:
        """Synchronise and close the file; nothing happens if it is closed."""
        with self._lock, disk_errors(self.path):
            if not self._file.closed:
                self._synchronise()
                self._file.close()

    def abandon(self) -> None:
        """Close the file without a word in it, for one that turns out to belong to another run."""
        self._file.close()

    def _synchronise(self) -> None:
        now = time.monotonic()
        self._file.seek(0, os.SEEK_END)
        self._file.write(checked_line({"seconds": round(now - self._synchronised, 3)}))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._earlier += now - self._synchronised
        self._synchronised = now
