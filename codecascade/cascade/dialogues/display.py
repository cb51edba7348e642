"""What self-instruct shows while it runs: the command, and a step of a cascade."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from codecascade.generation.progress_lines import ProgressLines
from codecascade.ground.format import counted
from codecascade.instruct.self_instruct.progress import SelfInstructProgress

_TITLES = {"questions": "questions", "answers": "tests and solutions"}


class SelfInstructDisplay:
    """A bar, or a line every 15 seconds where there is no terminal, with the rate and the time that is left.

    Args:
        title: stands before what is counted; None: nothing.

    Attributes:
        lines: what is said where there is no terminal, and the time that is left anywhere.
    """

    def __init__(self, console: Console, title: str | None = None) -> None:
        self._before = "" if title is None else f"{title}: "
        self.lines = ProgressLines(
            title or "self-instruct",
            0,
            lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
        )
        self._bar: Progress | None = None
        self._at: tuple[str, int] = ("", 0)
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}", style="bold", markup=False),
                BarColumn(24),
                MofNCompleteColumn(),
                # A time column of the library's would take what was known from before for fast work.
                TextColumn("{task.fields[note]}", markup=False),
            )
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task(title or "self-instruct", total=None, note="")

    def __enter__(self) -> SelfInstructDisplay:
        if self._bar is not None:
            self._bar.start()
        else:
            self.lines.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        else:
            self.lines.__exit__(kind, error, trace)

    def progress(self, made: SelfInstructProgress) -> None:
        """Show how far it is. What was known from before counts for no rate."""
        note = f"{made.kept:,} of {counted(made.settled, 'question')} kept" if made.settled else ""
        if made.read and made.step == "questions":
            note = f"the teacher's answers: {made.read:,}"
        step, skipped = self._at
        title = self._before + _TITLES[made.step]
        # The clock starts when all is read that was known from before.
        begins = made.step != step or (made.skipped > skipped and not self.lines.has_rate)
        if begins:
            self.lines.begin(title, made.total, made.done, made.skipped)
        self.lines.update(made.done, made.total, note, made.skipped)
        self._at = (made.step, made.skipped)
        if self._bar is not None:
            note = ", ".join(filter(None, (self.lines.time_left, note)))
            self._bar.update(self._task, description=title, completed=made.done, total=made.total, note=note)
