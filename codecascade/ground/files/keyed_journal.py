"""A journal whose entries are found by a key: a piece of work that was done is on disk, and is not done again.

A file of JSON lines. The first is the header: what the run depends on. Every other line is an entry::

    {"key": "solutions/4f1c/7", "digest": "9a0e...", "value": {"text": "...", "tokens": 83}, "crc": 2774315023}

``key`` says which piece of work it is. ``digest`` is a hash of everything that its result depends on: an entry whose
digest is another one than that asked for belongs to another prompt, and is not found. ``crc`` is the CRC-32 of the
line without it. A damaged line is skipped with a warning, an incomplete last line is cut off, and their work is done
again.

How lines are written, and kept from being lost: :mod:`~codecascade.ground.files.journal_file`.
"""

from __future__ import annotations

import json
import logging
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from codecascade.ground.diff import refuse_changes
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import disk_errors
from codecascade.ground.files.journal_file import JournalFile
from codecascade.ground.files.json_lines import checked_line, json_line, read_checked_line

logger = logging.getLogger(__name__)

Entry = dict[str, Any]
_SYNC_SECONDS = 1.0


class _Place(NamedTuple):
    digest: str
    position: int


class KeyedJournal:
    """The entries of one run. Threads may share it; only places in the file are kept in memory.

    Args:
        header: what the run depends on.
        free: keys of the header that may differ, at any depth.

    Raises:
        UserError: the file belongs to a run with another header. The sentence says what differs.
    """

    def __init__(self, path: Path, header: Entry, *, free: frozenset[str] = frozenset()) -> None:
        self.path = path
        self._places: dict[str, _Place] = {}
        self._file = JournalFile(path, _SYNC_SECONDS)
        try:
            self._read(header, free)
        except BaseException:
            self._file.abandon()
            raise

    def __enter__(self) -> KeyedJournal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._places)

    def close(self) -> None:
        self._file.close()

    @property
    def seconds(self) -> float:
        """For how long the journal was open, over all processes that worked with it."""
        return self._file.seconds

    def find(self, key: str, digest: str) -> Entry | None:
        """The value of the entry with this key, if it was made from the same; else None."""
        place = self._places.get(key)
        if place is None or place.digest != digest:
            return None
        entry = read_checked_line(self._file.line_at(place.position))
        value = None if entry is None else entry.get("value")
        return value if isinstance(value, dict) else None

    def keep(self, key: str, digest: str, value: Entry) -> None:
        """Append an entry. A later one of the same key replaces an earlier one."""
        self._places[key] = _Place(digest, self._file.add({"key": key, "digest": digest, "value": value}))

    def _read(self, header: Entry, free: frozenset[str]) -> None:
        first = self._file.header_line()
        header = json.loads(json_line(header))
        found = read_checked_line(first)
        if found is None and first.endswith(b"\n"):
            raise UserError(
                "its first line is damaged, so what it belongs to is not known; delete it to begin again",
                file=self.path,
            )
        if found is None:
            self._file.begin(checked_line({"header": header}))
            return
        refuse_changes(self.path, found.get("header") or {}, header, free=free)
        damaged = 0
        for position, entry in self._file.lines():
            key, digest = (None, None) if entry is None else (entry.get("key"), entry.get("digest"))
            if isinstance(key, str) and isinstance(digest, str):
                self._places[key] = _Place(digest, position)
            else:
                damaged += 1
        if damaged:
            logger.warning("%s: %d damaged lines are skipped; their work is done again", self.path, damaged)


def header_of(path: Path) -> Entry | None:
    """The header of a journal that may be there; None if there is none that can be read."""
    if not path.is_file():
        return None
    with disk_errors(path), open(path, "rb") as file:
        found = read_checked_line(file.readline())
    header = None if found is None else found.get("header")
    return header if isinstance(header, dict) else None


def digest_of(*parts: object) -> str:
    """A hash of values that JSON can write, the same on every machine."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=12).hexdigest()
