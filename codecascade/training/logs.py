"""What a run writes down: one JSON object a step, and TensorBoard's scalars."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from codecascade.ground.files import atomic_write
from codecascade.ground.json_lines import JsonlAppender
from codecascade.ground.step_log import step_number


@dataclass(frozen=True)
class StepReport:
    """One finished step."""

    step: int
    steps: int  # of the whole run
    tokens: int  # trained on so far, this step included
    loss: float  # weighted mean of the tokens' cross entropy, in nats
    lr: float
    seconds: float  # spent in training so far; pauses between two processes don't count
    step_seconds: float
    tokens_per_second: float
    mfu: float  # fraction of the speed of a large matrix product on the same machine
    grad_norm: float  # before clipping
    counts: dict[str, int]  # the stream's: documents, infilled, cut, tokens of each source ...

    @property
    def seconds_left(self) -> float:
        """At this step's speed."""
        return (self.steps - self.step) * self.step_seconds

    @property
    def infilling_rate(self) -> float | None:
        """Share of the documents begun in this step that were filled; None if none was begun."""
        documents = self.counts.get("documents", 0)
        return self.counts.get("infilled", 0) / documents if documents else None

    def row(self) -> dict[str, Any]:
        """The report as the log has it."""
        row = asdict(self)
        del row["steps"]
        return {**row, "infilling_rate": self.infilling_rate}


class TrainingLog:
    """Writes ``log`` (JSON lines) and, if wanted, a TensorBoard folder.

    Rows after ``last_step`` are dropped first: a killed run has logged steps that its last checkpoint doesn't hold,
    and they will be taken again. So there is one object a step, whatever happened.
    """

    def __init__(self, log: Path, tensorboard: Path | None, *, last_step: int) -> None:
        _truncate(log, last_step)
        self._rows = JsonlAppender(log)
        self._board = (
            None if tensorboard is None else SummaryWriter(str(tensorboard), purge_step=last_step + 1)
        )

    def write(self, report: StepReport) -> None:
        row = report.row()
        self._rows.write(row)
        if self._board is not None:
            for name in ("loss", "lr", "grad_norm", "tokens_per_second", "mfu", "infilling_rate"):
                if row[name] is not None:
                    self._board.add_scalar(f"training/{name}", row[name], report.step)
            for name, count in report.counts.items():
                self._board.add_scalar(f"stream/{name}", count, report.step)

    def close(self) -> None:
        self._rows.close()
        if self._board is not None:
            self._board.close()


def _truncate(log: Path, last_step: int) -> None:
    if not log.exists():
        return
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if step_number(line) <= last_step]
    if kept != lines:
        atomic_write(log, "".join(kept))
