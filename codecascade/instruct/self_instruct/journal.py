"""The journal of a run: what was asked and what was executed, on disk as it comes, so that nothing is done twice.

A file of JSON lines. The first is the header: what the run depends on. Every other line is an entry::

    {"key": "solutions/4f1c/7", "digest": "9a0e...", "value": {"text": "...", "tokens": 83}, "crc": 2774315023}

``key`` says which piece of work it is. ``digest`` is a hash of everything that its result depends on: an entry whose
digest is another one than that asked for belongs to another prompt, and is not found. ``crc`` is the CRC-32 of the
line without it. A damaged line is skipped with a warning, an incomplete last line is cut off, and their work is done
again.

A line is flushed as it is written, so that a killed process loses none. Lines are synchronised with the disk every
second, and when the journal is closed, so that a machine that loses power loses few.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from codecascade.ground.diff import changed_values
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import disk_errors
from codecascade.ground.files.json_lines import checked_line, json_line, read_checked_line

logger = logging.getLogger(__name__)

Entry = dict[str, Any]
_SYNC_SECONDS = 1.0


class _Place(NamedTuple):
    digest: str
    position: int


class Journal:
    """The entries of one run. Threads may share it; only places in the file are kept in memory.

    Args:
        header: what the run depends on.
        free: keys of the header that may differ, at any depth.

    Attributes:
        seconds: for how long the journal was open, over all processes that worked with it.

    Raises:
        UserError: the file belongs to a run with another header. The sentence says what differs.
    """

    def __init__(self, path: Path, header: Entry, *, free: frozenset[str] = frozenset()) -> None:
        self.path = path
        self._places: dict[str, _Place] = {}
        self._lock = threading.Lock()
        self._before = 0.0
        self._synchronised = time.monotonic()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Closed by close.
            self._file = open(path, "a+b")  # noqa: SIM115
        try:
            self._read(header, free)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._places)

    def close(self) -> None:
        with self._lock, disk_errors(self.path):
            if not self._file.closed:
                self._synchronise()
                self._file.close()

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._synchronised

    def find(self, key: str, digest: str) -> Entry | None:
        """The value of the entry with this key, if it was made from the same; else None."""
        with self._lock:
            place = self._places.get(key)
            if place is None or place.digest != digest:
                return None
            self._file.seek(place.position)
            entry = read_checked_line(self._file.readline())
        value = None if entry is None else entry.get("value")
        return value if isinstance(value, dict) else None

    def keep(self, key: str, digest: str, value: Entry) -> None:
        """Append an entry. A later one of the same key replaces an earlier one."""
        line = checked_line({"key": key, "digest": digest, "value": value})
        with self._lock, disk_errors(self.path):
            self._places[key] = _Place(digest, self._file.seek(0, os.SEEK_END))
            self._file.write(line)
            self._file.flush()
            if time.monotonic() - self._synchronised > _SYNC_SECONDS:
                self._synchronise()

    def _synchronise(self) -> None:
        now = time.monotonic()
        self._file.seek(0, os.SEEK_END)
        self._file.write(checked_line({"seconds": round(now - self._synchronised, 3)}))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._before += now - self._synchronised
        self._synchronised = now

    def _read(self, header: Entry, free: frozenset[str]) -> None:
        self._file.seek(0)
        first = self._file.readline()
        header = json.loads(json_line(header))
        found = read_checked_line(first)
        if found is None and first.endswith(b"\n"):
            raise UserError(
                "its first line is damaged, so what it belongs to is not known; delete it to begin again",
                file=self.path,
            )
        if found is None:
            self._file.truncate(0)
            self._file.write(checked_line({"header": header}))
            self._file.flush()
            return
        if changed := list(changed_values(found.get("header") or {}, header, free=free)):
            raise UserError(
                f"was begun with other settings ({'; '.join(changed)}); choose another folder with -o, or the "
                "same settings",
                file=self.path,
            )
        position, damaged = self._file.tell(), 0
        for line in iter(self._file.readline, b""):
            if not line.endswith(b"\n"):
                self._file.truncate(position)
                break
            damaged += not self._note(line, position)
            position += len(line)
        if damaged:
            logger.warning("%s: %d damaged lines are skipped; their work is done again", self.path, damaged)

    def _note(self, line: bytes, position: int) -> bool:
        """Remember the place of a line. False if it is damaged."""
        entry = read_checked_line(line)
        if entry is None:
            return False
        if "seconds" in entry:
            self._before += entry["seconds"]
            return True
        key, digest = entry.get("key"), entry.get("digest")
        if not isinstance(key, str) or not isinstance(digest, str):
            return False
        self._places[key] = _Place(digest, position)
        return True


def digest_of(*parts: object) -> str:
    """A hash of values that JSON can write, the same on every machine."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=12).hexdigest()
