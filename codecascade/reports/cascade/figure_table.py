"""The table of a run's figures in a terminal: models beside each other, as many as its width has room for."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from codecascade.reports.cascade.columns import ReportColumn
from codecascade.reports.cascade.run_report import ModelReport

_TITLES = 24
"""The least characters of the column with the figures' titles, which may wrap."""
_PADDING = 2
"""Characters beside each column."""
INSTEAD = "left to right"
"""What stands above the figure of a model that can't infill."""


class FigureTable:
    """A row for each figure, a column for each model. Models that do not fit beside the others follow below them."""

    def __init__(self, columns: Sequence[ReportColumn], models: Sequence[ModelReport]) -> None:
        self._columns, self._models = columns, models

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        left = list(self._models)
        title = "below each figure its 95 % interval"
        while left:
            count = len(left)
            while count > 1 and self._width(left[:count]) > options.max_width:
                count -= 1
            yield self._table(left[:count], title)
            left, title = left[count:], ""
            if left:
                yield Text()

    def _width(self, models: Sequence[ModelReport]) -> int:
        return _TITLES + _PADDING + sum(self._own_width(model) + _PADDING for model in models)

    def _own_width(self, model: ModelReport) -> int:
        cells = (_cell(column, model) for column in self._columns)
        return max([len(model.name), *(cell_len(line) for cell in cells for line in cell.plain.split("\n"))])

    def _table(self, models: Sequence[ModelReport], title: str) -> Table:
        table = Table(box=None, title=title or None)
        table.title_justify = "left"
        table.add_column("", min_width=_TITLES)
        for model in models:
            table.add_column(model.name, min_width=self._own_width(model))
        for column in self._columns:
            cells = [_cell(column, model) for model in models]
            if any(cells) or len(models) == len(self._models):
                table.add_row(column.title + (", %" if column.percent else ""), *cells)
        return table


def _cell(column: ReportColumn, model: ModelReport) -> Text:
    if (metric := column.metric_of(model)) is not None:
        return Text.assemble(column.text(metric), "\n", (column.interval(metric), "dim"))
    if (metric := column.left_to_right_of(model)) is not None:
        return Text.assemble((INSTEAD, "dim"), "\n", column.text(metric))
    return Text()
