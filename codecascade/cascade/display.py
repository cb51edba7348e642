"""What a run prints: lines, and a progress bar for what takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from codecascade.cascade.dialogues.display import SelfInstructDisplay
from codecascade.generation.progress_lines import RATE_WINDOW, ProgressLines
from codecascade.ground.format import show_seconds
from codecascade.training.logs import StepReport
from codecascade.training.progress_bar import ProgressBar

LINES = 20
"""Without a terminal there is no bar; a stage's training then prints at least so many lines."""
SECONDS = 60.0
"""And a line at least so often, if a step takes no longer: a stage may last for weeks."""


class RunDisplay:
    """Prints to ``console``, or nothing if it is None."""

    def __init__(self, console: Console | None) -> None:
        self.console = console or Console(quiet=True)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def show(self, part: RenderableType) -> None:
        """Print a table, or a text with colours."""
        self.console.print(part)

    @contextmanager
    def training(self, stage: str) -> Iterator[Callable[[StepReport], None]]:
        """Gives the function to call after each step of a stage's training."""
        if self.console.is_terminal:
            with ProgressBar(stage, self.console) as bar:
                yield bar
            return

        said: float | None = None

        def line(report: StepReport) -> None:
            nonlocal said
            due = said is None or report.seconds - said >= SECONDS or report.step == report.steps
            if due or report.step % max(1, report.steps // LINES) == 0:
                said = report.seconds
                self.say(
                    f"{stage}: step {report.step:,} of {report.steps:,}, loss {report.loss:.3f}, "
                    f"{report.tokens_per_second:,.0f} tokens/s, {show_seconds(report.seconds_left)} left"
                )

        yield line

    def _task_in_lines(self, title: str) -> Iterator[Callable[[str, int, int], None]]:
        """The same where there is no terminal: a line every 15 s."""
        at = ""
        with ProgressLines(title, 0, self.say, in_percent=True) as lines:

            def update(description: str, done: int, total: int) -> None:
                nonlocal at
                # What is kept so far may be in the description: that is no other work.
                if total and description != at:
                    lines.begin(f"{title}: {description}", total, done)
                    at = description
                lines.update(done, total, "" if total else description)

            yield update

    def self_instruct(self, stage: str) -> SelfInstructDisplay:
        """Shows how far the making of a stage's dialogues is."""
        return SelfInstructDisplay(self.console, f"self-instruct for {stage}")

    @contextmanager
    def task(self, title: str) -> Iterator[Callable[[str, int, int], None]]:
        """Gives the function to call with ``(description, done, total)``, in any unit; total 0: not known."""
        if not self.console.is_terminal:
            yield from self._task_in_lines(title)
            return
        columns = (
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(24),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        at = ""
        with Progress(
            *columns, console=self.console, transient=True, speed_estimate_period=RATE_WINDOW
        ) as progress:
            bar = progress.add_task(title, total=None)

            def update(description: str, done: int, total: int) -> None:
                nonlocal at
                shown = f"{title}: {description}"
                if total and description != at:
                    # other work, which has another speed, and of which some may have been done before
                    progress.reset(bar, description=shown, completed=done, total=total)
                    at = description
                progress.update(bar, description=shown, completed=done, total=total or None)

            yield update
