"""How far a run is: questions that were found, then answers of which tests and solutions are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SelfInstructProgress:
    """How far one of the two parts of a run is.

    Attributes:
        step: ``questions``: how many were found of those that are wanted; ``answers``: tests and solutions, of all
            that the questions need.
        done, total: pieces of this part.
        skipped: how many of ``done`` took no time: they were known from before, or are not needed any more. Of
            questions an estimate.
        kept: dialogues so far, of ``settled`` questions.
        read: answers of the teacher that questions are taken from. Several are asked for at a time, and none is read
            before all are there.
    """

    step: Literal["questions", "answers"]
    done: int
    total: int
    skipped: int = 0
    kept: int = 0
    settled: int = 0
    read: int = 0


ProgressFunction = Callable[[SelfInstructProgress], None]


class QuestionMeter:
    """Tells how many questions there are, and how many answers of the teacher.

    Questions are taken when many answers are there, of which some may have been known before. So how many questions
    are new is estimated: as many for each answer that was asked for as all answers brought on average.

    Args:
        wanted: questions.
        answers: how many answers there are, and how many of them were known from before.
    """

    def __init__(self, tell: ProgressFunction, wanted: int, answers: Callable[[], tuple[int, int]]) -> None:
        self._tell, self._found, self._wanted, self._answers = tell, 0, wanted, answers
        self._read = 0
        """The answers from which ``found`` were taken."""
        self.tick()

    def update(self, found: int, wanted: int) -> None:
        """So many questions are taken."""
        self._found, self._wanted = found, wanted
        self._read, _ = self._answers()
        self.tick()

    def tick(self) -> None:
        """Tell it again, for the teacher has answered."""
        read, known = self._answers()
        new = round(self._found * (read - known) / self._read) if self._read else 0
        skipped = self._found - new
        self._tell(SelfInstructProgress("questions", self._found, self._wanted, skipped=skipped, read=read))


class Meter:
    """Counts the answers of a run, and tells how many there are.

    Args:
        total: tests and solutions of all questions.
    """

    def __init__(self, tell: ProgressFunction, total: int) -> None:
        self._tell, self._total = tell, total
        self._done = self._skipped = 0
        self.kept = self.settled = 0

    def advance(self, by: int = 1, *, skipped: bool = False) -> None:
        """``by`` more answers are there."""
        self._done += by
        self._skipped += by * skipped
        self.tick()

    def tick(self) -> None:
        """Tell it again: something was done that isn't counted."""
        done = min(self._done, self._total)
        self._tell(SelfInstructProgress("answers", done, self._total, self._skipped, self.kept, self.settled))
