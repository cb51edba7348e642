"""The journal of a benchmark: answers and verdicts on disk as they come, so that a killed process loses none.

A journal is a file of JSON lines. The first says what the samples depend on. Then each sample has a line for its
answer
and a line for its verdict. A sample is known by its index in the order of tasks and samples (``place``)::

    {"place": 7, "answer": {"completion": ..., "finish_reason": ..., ...}, "crc": 2774315023}
    {"place": 7, "verdict": {"passed": true, ...}, "crc": 1040203417}

Lines are flushed as they are written, so that a killed process loses none. They are synchronised with the disk every
few seconds, so that a machine that loses power loses few. An incomplete last line is cut off. ``crc`` is the CRC-32
of
the line without it: a damaged line is skipped with a warning, and its sample is asked for again. Only the positions
of the lines are kept in memory, 16 bytes a sample.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codecascade.ground.diff import changed_values
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import disk_errors
from codecascade.ground.files.json_lines import checked_line, json_line, read_checked_line, read_line

logger = logging.getLogger(__name__)

JournalRow = dict[str, Any]
_SYNC_SECONDS = 5.0
_ABSENT = -1


class Journal:
    """The journal of ``samples`` samples. Threads may share it.

    Args:
        header: what the samples depend on. A file with another header belongs to another measurement.
        again: replace such a file, instead of refusing it.

    Attributes:
        answered, judged: how many samples have an answer, and how many a verdict.
        seconds: for how long the journal was open, over all runs.

    Raises:
        UserError: the file has another header (and not ``again``). The sentence says what differs.
    """

    def __init__(self, path: Path, samples: int, header: JournalRow, *, again: bool = False) -> None:
        self.path = path
        self._seconds = 0.0
        self._answers = array("q", [_ABSENT]) * samples
        self._verdicts = array("q", [_ABSENT]) * samples
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
        self.answered = sum(position != _ABSENT for position in self._answers)
        self.judged = sum(position != _ABSENT for position in self._verdicts)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """The number of samples."""
        return len(self._answers)

    def close(self) -> None:
        with self._lock, disk_errors(self.path):
            if not self._file.closed:
                self._synchronise()
                self._file.close()

    # ---- writing

    def answer(self, sample_index: int, answer: JournalRow) -> None:
        """Keep a sample's answer."""
        with self._lock:
            self._append(self._answers, sample_index, {"place": sample_index, "answer": answer})
            self.answered += 1

    def verdict(self, sample_index: int, verdict: JournalRow) -> None:
        """Keep a sample's verdict."""
        with self._lock:
            self._append(self._verdicts, sample_index, {"place": sample_index, "verdict": verdict})
            self.judged += 1

    def _append(self, positions: array[int], sample_index: int, line: JournalRow) -> None:
        with disk_errors(self.path):
            position = self._file.seek(0, os.SEEK_END)
            self._file.write(checked_line(line))
            self._file.flush()
            positions[sample_index] = position
            if time.monotonic() - self._synchronised > _SYNC_SECONDS:
                self._synchronise()

    def _synchronise(self) -> None:
        now = time.monotonic()
        self._file.seek(0, os.SEEK_END)
        self._file.write(checked_line({"seconds": round(now - self._synchronised, 3)}))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._seconds += now - self._synchronised
        self._synchronised = now

    @property
    def seconds(self) -> float:
        return self._seconds + time.monotonic() - self._synchronised

    # ---- reading

    def has_answer(self, sample_index: int) -> bool:
        return self._answers[sample_index] != _ABSENT

    def has_verdict(self, sample_index: int) -> bool:
        return self._verdicts[sample_index] != _ABSENT

    def unanswered(self) -> Iterator[int]:
        return (sample_index for sample_index, position in enumerate(self._answers) if position == _ABSENT)

    def unjudged(self) -> Iterator[int]:
        """Samples that have an answer and no verdict."""
        return (
            sample_index
            for sample_index, (answer, verdict) in enumerate(zip(self._answers, self._verdicts, strict=True))
            if answer != _ABSENT and verdict == _ABSENT
        )

    def answer_at(self, sample_index: int) -> JournalRow:
        answer: JournalRow = self._at(self._answers[sample_index])["answer"]
        return answer

    def verdict_at(self, sample_index: int) -> JournalRow:
        verdict: JournalRow = self._at(self._verdicts[sample_index])["verdict"]
        return verdict

    def _at(self, position: int) -> JournalRow:
        with self._lock:
            self._file.seek(position)
            line: JournalRow = json.loads(self._file.readline())
            return line

    def _read(self, header: JournalRow, again: bool) -> None:
        """Find the position of every line. An incomplete last line is cut off, damaged lines are skipped."""
        self._file.seek(0)
        first = self._file.readline()
        header = json.loads(json_line(header))
        found = read_line(first)
        if found is None and first.endswith(b"\n") and not again:
            raise UserError(
                "its first line is damaged, so what it belongs to is not known; delete it to ask everything again",
                file=self.path,
            )
        if found is None or (again and any(changed_values(found, header))):
            if first.endswith(b"\n") and found is None:
                logger.warning("%s: its first line is damaged, so a new file is begun", self.path)
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
        for sample_index, answer in enumerate(self._answers):
            # If a verdict comes before its answer or without one, the answer's line is damaged.
            if self._verdicts[sample_index] < answer or answer == _ABSENT:
                self._verdicts[sample_index] = _ABSENT
        if damaged:
            logger.warning(
                "%s: %d damaged lines are passed over; their samples are made again", self.path, damaged
            )

    def _note(self, line: bytes, position: int) -> bool:
        """Remember the position of a line. False if it is damaged."""
        entry = read_checked_line(line)
        if entry is None:
            return False
        if "seconds" in entry:
            self._seconds += entry["seconds"]
            return True
        sample_index = entry.get("place")
        if not isinstance(sample_index, int) or not 0 <= sample_index < len(self):
            return False
        (self._answers if "answer" in entry else self._verdicts)[sample_index] = position
        return True


def refuse_changes(before: JournalRow, now: JournalRow, file: Path) -> None:
    """Refuse to continue a file that was made with something else.

    Raises:
        UserError: a key differs. The sentence names every key that does, with both values.
    """
    if changed := list(changed_values(before, now)):
        raise UserError(
            f"was begun with other settings ({'; '.join(changed)}); choose another folder with -o, or the same "
            "settings",
            file=file,
        )
