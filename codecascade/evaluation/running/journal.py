"""The journal of a benchmark: answers and verdicts on disk as they come, so that a killed process loses none.

A journal is a file of JSON lines. The first says what the samples depend on. Then each sample has a line for its
answer and a line for its verdict. A sample is known by its index in the order of tasks and samples (``place``)::

    {"place": 7, "answer": {"completion": ..., "finish_reason": ..., ...}, "crc": 2774315023}
    {"place": 7, "verdict": {"passed": true, ...}, "crc": 1040203417}

A damaged line is skipped with a warning, and its sample is asked for again. Only the positions of the lines are kept
in memory, 16 bytes a sample. How lines are written, and kept from being lost:
:mod:`~codecascade.ground.files.journal_file`.
"""

from __future__ import annotations

import json
import logging
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codecascade.ground.diff import changed_values, refuse_changes
from codecascade.ground.errors import UserError
from codecascade.ground.files.journal_file import JournalFile
from codecascade.ground.files.json_lines import json_line, read_line

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

    Raises:
        UserError: the file has another header (and not ``again``). The sentence says what differs.
    """

    def __init__(self, path: Path, samples: int, header: JournalRow, *, again: bool = False) -> None:
        self.path = path
        self._answers = array("q", [_ABSENT]) * samples
        self._verdicts = array("q", [_ABSENT]) * samples
        self._lock = threading.Lock()
        self._file = JournalFile(path, _SYNC_SECONDS)
        try:
            self._read(header, again)
        except BaseException:
            self._file.abandon()
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
        self._file.close()

    # ---- writing

    def answer(self, sample_index: int, answer: JournalRow) -> None:
        """Keep a sample's answer."""
        with self._lock:
            self._answers[sample_index] = self._file.add({"place": sample_index, "answer": answer})
            self.answered += 1

    def verdict(self, sample_index: int, verdict: JournalRow) -> None:
        """Keep a sample's verdict."""
        with self._lock:
            self._verdicts[sample_index] = self._file.add({"place": sample_index, "verdict": verdict})
            self.judged += 1

    @property
    def seconds(self) -> float:
        """For how long the journal was open, over all runs."""
        return self._file.seconds

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
        line: JournalRow = json.loads(self._file.line_at(position))
        return line

    def _read(self, header: JournalRow, again: bool) -> None:
        """Find the position of every line. An incomplete last line is cut off, damaged lines are skipped."""
        first = self._file.header_line()
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
            self._file.begin(json_line(header))
            return
        refuse_changes(self.path, found, header)
        damaged = sum(not self._note(entry, position) for position, entry in self._file.lines())
        for sample_index, answer in enumerate(self._answers):
            # If a verdict comes before its answer or without one, the answer's line is damaged.
            if self._verdicts[sample_index] < answer or answer == _ABSENT:
                self._verdicts[sample_index] = _ABSENT
        if damaged:
            logger.warning(
                "%s: %d damaged lines are passed over; their samples are made again", self.path, damaged
            )

    def _note(self, entry: JournalRow | None, position: int) -> bool:
        """Remember the position of an entry. False if it is damaged."""
        sample_index = None if entry is None else entry.get("place")
        if entry is None or not isinstance(sample_index, int) or not 0 <= sample_index < len(self):
            return False
        (self._answers if "answer" in entry else self._verdicts)[sample_index] = position
        return True
