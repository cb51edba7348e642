"""How far a run is: what is shown of it, counted over all groups of questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Step = Literal["questions", "tests", "solutions"]


@dataclass(frozen=True)
class SelfInstructProgress:
    """``done`` of ``total`` pieces of a step: questions found, questions with tests, solutions written."""

    step: Step
    done: int
    total: int
    kept: int = 0
    settled: int = 0


ProgressFunction = Callable[[SelfInstructProgress], None]


@dataclass
class Meter:
    """Counts what is done, and tells it.

    Args:
        totals: pieces of each step.
    """

    tell: ProgressFunction
    totals: dict[Step, int]
    kept: int = 0
    settled: int = 0
    _done: dict[Step, int] = field(default_factory=dict)
    _step: Step = "tests"

    def advance(self, step: Step, by: int = 1) -> None:
        """``by`` more pieces of a step are done."""
        self._step = step
        self._done[step] = min(self._done.get(step, 0) + by, self.totals[step])
        self.tick()

    def tick(self) -> None:
        """Tell it again: something was done that isn't counted."""
        self.tell(
            SelfInstructProgress(
                self._step, self._done.get(self._step, 0), self.totals[self._step], self.kept, self.settled
            )
        )
