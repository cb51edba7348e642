"""What ``eval`` prints: a progress bar for each benchmark, and tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from codecascade.cli.app import stdout
from codecascade.evaluation.benchmarks.selection import data_location
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import Metric, left_to_right
from codecascade.evaluation.notation import NOT_RUN, is_plain
from codecascade.evaluation.running import driver
from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.generation.progress_lines import RATE_WINDOW, ProgressLines
from codecascade.ground.format import show_seconds

_LINES = 10
"""Without a terminal there are no bars; each benchmark then prints about so many lines, or one every 15 s."""

_WIDE = 145
"""The width in columns from which the list of benchmarks also shows their titles."""


class EvaluationDisplay:
    """A progress bar for each benchmark, or lines where there is no terminal: at each tenth, and every 15 s.

    Args:
        clock: counts seconds.
    """

    def __init__(
        self,
        console: Console,
        names: Sequence[str],
        model: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._drawn = console.is_terminal
        self._printed_lines: dict[str, int] = {}
        self._done: set[str] = set()
        self._bars: dict[str, TaskID] = {}
        self._at: str | None = None
        self.lines = ProgressLines(model, 0, self._say, clock=clock)
        self._progress = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(24),
            TextColumn("{task.fields[count]}", justify="right"),
            TextColumn("{task.fields[figure]}", justify="right"),
            TimeRemainingColumn(),
            console=console,
            disable=not self._drawn,
            speed_estimate_period=RATE_WINDOW,
        )
        for name in names:
            self._bars[name] = self._progress.add_task(name, total=None, start=False, count="", figure="")

    def __enter__(self) -> EvaluationDisplay:
        self._progress.start()
        if not self._drawn:
            self.lines.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._drawn:
            self.lines.__exit__(kind, error, trace)
        self._progress.stop()

    def progress(self, at: driver.EvaluationProgress) -> None:
        """Show that a sample was answered or judged."""
        count = f"{at.judged:,} of {at.total:,}"
        if at.answered > at.judged:
            count += f" (+{at.answered - at.judged:,} to be {_next_step(at.benchmark)})"
        # What a judge says is no question of right and wrong: of toxic answers a small share is the good one.
        figure = (
            ""
            if _next_step(at.benchmark) == "judged" or not at.right
            else f"{at.right / at.judged:.1%} right"
        )
        if at.too_long:
            figure += f"{', ' * bool(figure)}{at.too_long:,} too long"
        if self._drawn:
            bar = self._bars[at.benchmark]
            if at.benchmark != self._at:
                # What was judged before this start counts for no speed.
                self._progress.reset(bar, total=at.total, completed=at.judged)
                self._at = at.benchmark
            self._progress.update(bar, total=at.total, completed=at.judged, count=count, figure=figure)
            return
        if at.benchmark != self._at:
            self._at = at.benchmark
            self.lines.begin(at.benchmark, at.total, at.judged)
        waiting = (
            f"{at.answered - at.judged:,} to be {_next_step(at.benchmark)}" if at.answered > at.judged else ""
        )
        self.lines.update(at.judged, at.total, ", ".join(filter(None, (waiting, figure))))
        step = at.judged * _LINES // max(1, at.total)
        if step > self._printed_lines.get(at.benchmark, 0) and at.judged < at.total:
            self._printed_lines[at.benchmark] = step
            self.lines.say(f"{at.benchmark}: {count}" + f", {figure}" * bool(figure))

    def done(self, results: Mapping[str, BenchmarkResult]) -> None:
        """Show the figures of benchmarks that have ended."""
        for name, result in results.items():
            if name in self._done:
                continue
            self._done.add(name)
            metric = BENCHMARKS[name].metric
            figure = shown(metric, result.metrics[metric]) if metric in result.metrics else ""
            if (instead := left_to_right(result.metrics, metric)) is not None:
                metric, figure = f"{metric} left to right", shown(metric, instead)
            if self._drawn:
                bar = self._bars[name]
                self._progress.start_task(bar)
                self._progress.update(bar, total=1, completed=1, count=metric, figure=figure)
            else:
                self._say(f"{name}: {metric} {figure}, {show_seconds(result.seconds)}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _next_step(name: str) -> str:
    """What is done with an answer of the benchmark: its program is ``run``, or it is ``judged``."""
    benchmark = BENCHMARKS.get(name)
    return "judged" if benchmark is not None and benchmark.judging is not None else "run"


def wide_stdout() -> Console:
    """Standard output. Where it is no terminal it is at least 160 columns wide, so that names are not cut."""
    console = stdout()
    if not console.is_terminal:
        console.width = max(160, console.width)
    return console


def results_table(model: str, results: Mapping[str, BenchmarkResult]) -> Table:
    """All figures with their 95 % intervals."""
    table = Table(title=model, title_justify="left")
    for column in ("benchmark", "metric"):
        table.add_column(column, no_wrap=True)
    for column in ("value", "95 % interval", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, result in results.items():
        first = 0
        if left_to_right(result.metrics, BENCHMARKS[name].metric) is not None:
            table.add_row(name, BENCHMARKS[name].metric, "—", "can't be asked to infill", "")
            # the line above has the benchmark's name already
            first = -1
        for index, (metric, figure) in enumerate(result.metrics.items()):
            value, bounds = _number(metric, figure.value), _interval(metric, figure)
            if not figure.is_measured:
                value, bounds = "not run", ""
            table.add_row(name if index == first else "", metric, value, bounds, f"{figure.n:,}")
        if judge := result.about.get("judge"):
            table.add_row("", f"judged by {judge}")
        missing = result.about.get("missing", 0)
        if missing:
            table.add_row("", "missing tasks", f"{missing:,}", "", f"{result.about['tasks_total']:,}")
        found = result.about.get("contamination")
        if found is not None:
            table.add_row("", "in the corpus", f"{len(found['tasks']):,}", "", f"{found['of']:,}")
    return table


def benchmarks_table(given: Mapping[str, Path], corpus: bool, width: int) -> Table:
    """The table of ``--list``, for a terminal of ``width`` columns. A narrow one gets no titles."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("benchmark", no_wrap=True)
    table.add_column("data here", no_wrap=True)
    table.add_column("from", overflow="fold")
    table.add_column("licence", no_wrap=True)
    if width >= _WIDE:
        table.add_column("what")
    for name, benchmark in BENCHMARKS.items():
        data = data_location(name, given, corpus=corpus)
        row = (name, data, benchmark.source, benchmark.licence, benchmark.title)
        table.add_row(*row[: len(table.columns)])
    return table


def shown(metric: str, figure: Metric) -> str:
    """A figure with its interval, in the unit of its metric."""
    if not figure.is_measured:
        return NOT_RUN
    return f"{_number(metric, figure.value)} ({_interval(metric, figure)})"


def _interval(metric: str, figure: Metric) -> str:
    if not figure.has_interval:
        return "no interval"
    return f"{_number(metric, figure.low)} to {_number(metric, figure.high)}"


def _number(metric: str, value: float) -> str:
    return f"{value:.3f}" if is_plain(metric) else f"{value:.1%}"
