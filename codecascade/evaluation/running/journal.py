"""What a benchmark's samples came to, kept as it comes: a process that is killed loses nothing that it had finished.

A journal is a file of JSON lines. The first says what it belongs to. Then each sample, known by its place in the
order of tasks and samples, has a line for its answer and one for its verdict::

    {"place": 7, "answer": {"completion": ..., "finish_reason": ..., ...}, "crc": 2774315023}
    {"place": 7, "verdict": {"passed": true, ...}, "crc": 1040203417}

Lines are flushed as they are written (so a killed process loses none) and synchronised with the disk every few
seconds (so a machine that loses power loses few). A last line that is torn is cut off. ``crc`` is the CRC-32 of the
line without it: a line that is damaged is passed over with a warning, and its sample is asked for again. Only the
lines' positions are held in memory: 16 bytes a sample.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codecascade.ground.diff import changes
from codecascade.ground.errors import UserError
from codecascade.ground.files import disk_errors
from codecascade.ground.json_lines import json_line

logger = logging.getLogger(__name__)

JournalRow = dict[str, Any]
_SYNC_SECONDS = 5.0
_NOWHERE = -1


class Journal:
    """The journal of ``places`` samples; threads may share it.

    Args:
        header: what the samples depend on; a file that begins with another is not this benchmark's.
        again: such a file is begun anew.

    Attributes:
        answered, judged: how many places have an answer, and a verdict.
        seconds: for how long the journal was open, all in all.

    Raises:
        UserError: the file was made with something else (and not ``again``); the sentence says what differs.
    """

    def __init__(self, path: Path, places: int, header: JournalRow, *, again: bool = False) -> None:
        self.path = path
        self._seconds = 0.0
        self._answers = array("q", [_NOWHERE]) * places
        self._verdicts = array("q", [_NOWHERE]) * places
        self._lock = threading.Lock()
        self._synchronised = time.monotonic()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a+b")  # noqa: SIM115  (closed by close)
        try:
            self._read(header, again)
        except BaseException:
            self._file.close()
            raise
        self.answered = sum(position != _NOWHERE for position in self._answers)
        self.judged = sum(position != _NOWHERE for position in self._verdicts)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """The number of places."""
        return len(self._answers)

    def close(self) -> None:
        with self._lock, disk_errors(self.path):
            if not self._file.closed:
                self._synchronise()
                self._file.close()

    # ---- writing

    def answer(self, place: int, answer: JournalRow) -> None:
        """Keep what was answered (or given) at a place."""
        with self._lock:
            self._append(self._answers, place, {"place": place, "answer": answer})
            self.answered += 1

    def verdict(self, place: int, verdict: JournalRow) -> None:
        """Keep what it came to."""
        with self._lock:
            self._append(self._verdicts, place, {"place": place, "verdict": verdict})
            self.judged += 1

    def _append(self, positions: array[int], place: int, line: JournalRow) -> None:
        with disk_errors(self.path):
            position = self._file.seek(0, os.SEEK_END)
            self._file.write(_checked(line))
            self._file.flush()
            positions[place] = position
            if time.monotonic() - self._synchronised > _SYNC_SECONDS:
                self._synchronise()

    def _synchronise(self) -> None:
        now = time.monotonic()
        self._file.seek(0, os.SEEK_END)
        self._file.write(_checked({"seconds": round(now - self._synchronised, 3)}))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._seconds += now - self._synchronised
        self._synchronised = now

    @property
    def seconds(self) -> float:
        return self._seconds + time.monotonic() - self._synchronised

    # ---- reading

    def has_answer(self, place: int) -> bool:
        return self._answers[place] != _NOWHERE

    def has_verdict(self, place: int) -> bool:
        return self._verdicts[place] != _NOWHERE

    def unanswered(self) -> Iterator[int]:
        return (place for place, position in enumerate(self._answers) if position == _NOWHERE)

    def unjudged(self) -> Iterator[int]:
        """Places that have an answer and no verdict."""
        return (
            place
            for place, (answer, verdict) in enumerate(zip(self._answers, self._verdicts, strict=True))
            if answer != _NOWHERE and verdict == _NOWHERE
        )

    def answer_at(self, place: int) -> JournalRow:
        answer: JournalRow = self._at(self._answers[place])["answer"]
        return answer

    def verdict_at(self, place: int) -> JournalRow:
        verdict: JournalRow = self._at(self._verdicts[place])["verdict"]
        return verdict

    def _at(self, position: int) -> JournalRow:
        with self._lock:
            self._file.seek(position)
            line: JournalRow = json.loads(self._file.readline())
            return line

    def _read(self, header: JournalRow, again: bool) -> None:
        """Find every line's position; cut off what is torn, pass over what is damaged."""
        self._file.seek(0)
        first = self._file.readline()
        header = json.loads(json_line(header))
        found = _object(first)
        if found is None and first.endswith(b"\n") and not again:
            raise UserError(
                "its first line is damaged, so what it belongs to is not known; delete it to ask everything again",
                file=self.path,
            )
        if found is None or (again and any(changes(found, header))):
            if first.endswith(b"\n") and found is None:
                logger.warning("%s: its first line is damaged, so it is begun anew", self.path)
            self._file.truncate(0)
            self._file.write(json_line(header))
            self._file.flush()
            return
        refuse_changes(found, header, self.path)
        position, damaged = self._file.tell(), 0
        for line in iter(self._file.readline, b""):
            if not line.endswith(b"\n"):
                self._file.truncate(position)
                break
            damaged += not self._note(line, position)
            position += len(line)
        for place, answer in enumerate(self._answers):
            # a verdict that came before the answer, or without one, is that of an answer that was damaged
            if self._verdicts[place] < answer or answer == _NOWHERE:
                self._verdicts[place] = _NOWHERE
        if damaged:
            logger.warning(
                "%s: %d damaged lines are passed over; their samples are made again", self.path, damaged
            )

    def _note(self, line: bytes, position: int) -> bool:
        """Remember where a line is; False if it is damaged."""
        entry = _object(line)
        if entry is None or entry.pop("crc", None) != zlib.crc32(json_line(entry)):
            return False
        if "seconds" in entry:
            self._seconds += entry["seconds"]
            return True
        place = entry.get("place")
        if not isinstance(place, int) or not 0 <= place < len(self):
            return False
        (self._answers if "answer" in entry else self._verdicts)[place] = position
        return True


def _checked(row: JournalRow) -> bytes:
    return json_line({**row, "crc": zlib.crc32(json_line(row))})


def _object(line: bytes) -> JournalRow | None:
    """The JSON object of a whole line; None if it is none."""
    try:
        value = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def refuse_changes(before: JournalRow, now: JournalRow, file: Path) -> None:
    """Refuse to go on with what was made with something else.

    Raises:
        UserError: it names every key that differs, with both values.
    """
    if changed := list(changes(before, now)):
        raise UserError(
            f"was begun with other settings ({'; '.join(changed)}); choose another folder with -o, or the same "
            "settings",
            file=file,
        )
