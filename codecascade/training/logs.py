"""The log of a training run: one JSON object for each step, and what trackers are told of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codecascade.ground.files.atomic import atomic_write
from codecascade.ground.files.json_lines import JsonlAppender
from codecascade.ground.step_log import log_lines, step_number
from codecascade.training.trackers.tracker import SafeTracker


@dataclass(frozen=True)
class StepReport:
    """One finished step.

    Attributes:
        step: its number, from 1.
        steps: of the run.
        tokens: trained on so far, with this step.
        loss: weighted mean of the tokens' cross entropy, in nats.
        seconds: of training so far, without pauses between two processes.
        mfu: model FLOPs utilisation: the fraction of the speed of a large matrix product on the same machine.
        grad_norm: L2 norm of the gradient before clipping.
        counts: the batch's: documents, infilled, cut, tokens of each source and more.
        skipped: why the step's update was left out; None if it was not.
        documents: of the batch of a step that was left out.
    """

    step: int
    steps: int
    tokens: int
    loss: float
    lr: float
    seconds: float
    step_seconds: float
    tokens_per_second: float
    mfu: float
    grad_norm: float
    counts: dict[str, int]
    skipped: str | None = None
    documents: tuple[str, ...] = ()

    @property
    def seconds_left(self) -> float:
        """Until the end of the run, at the speed of this step."""
        return (self.steps - self.step) * self.step_seconds

    @property
    def infilling_rate(self) -> float | None:
        """The share of documents that are infilled, among those begun in this step; None if none was begun."""
        documents = self.counts.get("documents", 0)
        return self.counts.get("infilled", 0) / documents if documents else None

    def to_json(self) -> dict[str, Any]:
        """The step's object in the log. JSON has no numbers that are not finite, so they are null."""
        row = asdict(self)
        del row["steps"]
        if self.skipped is None:
            del row["skipped"], row["documents"]
        for name in ("loss", "grad_norm"):
            row[name] = row[name] if math.isfinite(row[name]) else None
        return {**row, "infilling_rate": self.infilling_rate}

    def figures(self) -> dict[str, float]:
        """The step's figures by the names that trackers know them by."""
        names = ("loss", "lr", "grad_norm", "tokens_per_second", "mfu", "infilling_rate")
        found = {f"training/{name}": getattr(self, name) for name in names}
        found |= {f"stream/{name}": count for name, count in self.counts.items()}
        return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


class TrainingLog:
    """Writes ``log`` (JSON lines), and tells the ``trackers``.

    Lines of steps after ``last_step`` are removed first. A killed run may have logged steps after its last
    checkpoint, and these are taken again. So the log has one object for each step.
    """

    def __init__(self, log: Path, trackers: Sequence[SafeTracker] = (), *, last_step: int) -> None:
        _truncate(log, last_step)
        self._rows = JsonlAppender(log)
        self._trackers = trackers

    def write(self, report: StepReport) -> None:
        self._rows.write(report.to_json())
        figures = report.figures()
        for tracker in self._trackers:
            tracker.write(report.step, figures)

    def close(self) -> None:
        self._rows.close()
        for tracker in self._trackers:
            tracker.close()


def _truncate(log: Path, last_step: int) -> None:
    if not log.exists():
        return
    lines = log_lines(log)
    kept = [line for line in lines if step_number(line) <= last_step]
    if kept != lines:
        atomic_write(log, "".join(kept))
