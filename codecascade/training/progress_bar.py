"""A progress bar for one training run in a terminal, with loss, speed, MFU and the time left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from codecascade.ground.format import show_seconds
from codecascade.training.logs import StepReport


class ProgressBar:
    """``with ProgressBar("code", console) as bar: train(..., progress=bar)``."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console or Console(stderr=True),
        )
        self._task = self._progress.add_task(title, total=None, figures="")

    def __call__(self, report: StepReport) -> None:
        figures = (
            f"loss {report.loss:.3f} · {report.tokens_per_second:,.0f} tok/s · MFU {report.mfu:.0%} · "
            f"{show_seconds(report.seconds_left)} left"
        )
        self._progress.update(self._task, completed=report.step, total=report.steps, figures=figures)

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
