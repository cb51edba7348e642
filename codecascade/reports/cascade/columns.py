"""The columns of a cascade's report: the figures that benchmarks name, and those in the paper's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from codecascade.evaluation.analysis.differences import more_is_better
from codecascade.evaluation.analysis.paper import TABLES
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import LEFT_TO_RIGHT, Metric, left_to_right
from codecascade.evaluation.notation import digits_to_see, format_interval, format_metric, is_plain
from codecascade.reports.cascade.run_report import ModelReport

_PAPERS = 100
"""The rank of the paper's figures. Benchmarks of a lower rank come before them, those of a higher rank after them."""


@dataclass(frozen=True)
class ReportColumn:
    """A figure that the report shows for every model: its benchmark, its metric, and its title.

    ``leads`` and ``in_nats`` are those of the :class:`~codecascade.evaluation.task.ReportedFigure`.
    """

    benchmark: str
    metric: str
    title: str
    higher_is_better: bool = True
    leads: bool = False
    in_nats: bool = False

    @property
    def percent(self) -> bool:
        return not is_plain(self.metric)

    def metric_of(self, model: ModelReport) -> Metric | None:
        """The model's figure; None if it was not measured, or the model can't infill (:meth:`left_to_right_of`)."""
        found = None if self.asked_otherwise(model) else self._stored(model)
        return found if found is not None and found.is_measured else None

    def left_to_right_of(self, model: ModelReport) -> Metric | None:
        """The figure of a model that can't infill: how well it continues the prefix, without the suffix.

        It is shown in place of the figure that the model does not have.
        """
        result = model.results.get(self.benchmark)
        found = left_to_right(result.metrics, self.metric) if result else None
        return found if found is not None and found.is_measured else None

    def text(self, metric: Metric, more_digits: int = 0) -> str:
        return format_metric(metric, self.metric, more_digits)

    def interval(self, metric: Metric, more_digits: int = 0) -> str:
        return format_interval(metric, self.metric, more_digits)

    def digits_to_see(self, first: Metric, second: Metric) -> int:
        """How many more digits than usual show that two figures differ."""
        return digits_to_see(second.value - first.value, self.metric, first.value, second.value)

    def asked_otherwise(self, model: ModelReport) -> bool:
        """Whether the model has no infilling tokens, so that it continued the prefix instead of filling in."""
        result = model.results.get(self.benchmark)
        if result is None or self.metric.endswith(LEFT_TO_RIGHT):
            return False
        return bool(result.metrics) and all(name.endswith(LEFT_TO_RIGHT) for name in result.metrics)

    def not_run(self, model: ModelReport) -> bool:
        """Whether the benchmark was measured, but this figure of it is over no problems."""
        found = self._stored(model)
        return found is not None and not found.is_measured

    def _stored(self, model: ModelReport) -> Metric | None:
        result = model.results.get(self.benchmark)
        return None if result is None else result.metrics.get(self.metric)


def _own() -> dict[bool, list[ReportColumn]]:
    """The benchmarks' own columns: those before the paper's figures (False), and those after them (True)."""
    ranked = sorted(BENCHMARKS.values(), key=lambda benchmark: benchmark.rank)
    return {
        after: [
            ReportColumn(
                benchmark.name,
                shown.metric,
                shown.title,
                shown.higher_is_better,
                shown.leads,
                shown.in_nats,
            )
            for benchmark in ranked
            if (benchmark.rank > _PAPERS) == after
            for shown in benchmark.columns
        ]
        for after in (False, True)
    }


def _papers() -> Iterator[ReportColumn]:
    """A column for each column of the paper's tables, in their order."""
    for table in TABLES:
        if not table.otherwise_shown:
            for column in table.columns:
                for benchmark in filter(None, (column.benchmark, column.instead)):
                    title = f"{table.before}{column.group} {column.title}"
                    if benchmark.endswith("_sampled"):
                        title += " of many samples"
                    metric = column.metrics[0]
                    yield ReportColumn(benchmark, metric, title, more_is_better(benchmark, metric))


def _others() -> Iterator[ReportColumn]:
    """The main figure of each benchmark."""
    for name, benchmark in BENCHMARKS.items():
        yield ReportColumn(name, benchmark.metric, benchmark.title, benchmark.higher_is_better)


def _each_once(columns: Iterable[ReportColumn]) -> tuple[ReportColumn, ...]:
    found: dict[tuple[str, str], ReportColumn] = {}
    for column in columns:
        found.setdefault((column.benchmark, column.metric), column)
    return tuple(found.values())


def all_columns() -> tuple[ReportColumn, ...]:
    """All columns that a report may show, in their order."""
    own = _own()
    return _each_once((*own[False], *_papers(), *own[True], *_others()))
