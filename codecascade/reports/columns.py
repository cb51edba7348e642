"""The figures that a cascade's report shows, each found in every model's results: those of the quick benchmarks, and
all that stand in the paper's tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from codecascade.evaluation.analysis.paper import TABLE_14, TABLE_18, TABLES
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import LEFT_TO_RIGHT, Metric, left_to_right
from codecascade.evaluation.notation import bounds, figure, is_plain
from codecascade.reports.cascade_data import ModelReport

_BEFORE = {
    "Table 3": "APPS, ",
    "Table 4": "MultiPL-E, ",
    "Table 6": "Lines filled, ",
    "Table 7": "LCC, ",
}
"""What a table's columns have in common that they don't say."""
_OTHERWISE_SHOWN = (TABLE_14, TABLE_18)
"""Infillings are named by layout below, and keys have a picture."""


@dataclass(frozen=True)
class Column:
    """A figure that the report shows: where it is found, and what it is called."""

    benchmark: str
    metric: str
    title: str
    higher_is_better: bool = True

    @property
    def percent(self) -> bool:
        return not is_plain(self.metric)

    def of(self, model: ModelReport) -> Metric | None:
        """The model's figure; None where it was not measured, or could not be asked (see :meth:`instead`)."""
        return None if self.asked_otherwise(model) else self._figure(model, self.metric)

    def instead(self, model: ModelReport) -> Metric | None:
        """Of a model that can't infill, what it does left to right, the suffix unseen: that is no figure of 0."""
        result = model.results.get(self.benchmark)
        found = left_to_right(result.metrics, re.sub("_(psm|spm)$", "", self.metric)) if result else None
        return found if found is not None and found.n else None

    def text(self, metric: Metric) -> str:
        return figure(metric.value, self.metric)

    def interval(self, metric: Metric) -> str:
        return bounds(metric, self.metric)

    def asked_otherwise(self, model: ModelReport) -> bool:
        """Whether the model has no infilling tokens, and so continued the prefix instead of filling in."""
        result = model.results.get(self.benchmark)
        return result is not None and any(name.endswith(LEFT_TO_RIGHT) for name in result.metrics)

    def _figure(self, model: ModelReport, name: str) -> Metric | None:
        result = model.results.get(self.benchmark)
        metric = None if result is None else result.metrics.get(name)
        return None if metric is None or metric.n == 0 else metric  # of no problem there is nothing to show


def _filled(benchmark: str, metric: str, title: str) -> Iterator[Column]:
    """Of the layout that figures are of, and of the other."""
    yield Column(benchmark, metric, title)
    for layout in ("psm", "spm"):
        yield Column(benchmark, f"{metric}_{layout}", f"{title}, {layout.upper()}")


def _papers() -> Iterator[Column]:
    """A column of the paper's tables each, in their order."""
    for table in TABLES:
        if table not in _OTHERWISE_SHOWN:
            for column in table.columns:
                for benchmark in filter(None, (column.benchmark, column.instead)):
                    title = f"{_BEFORE.get(table.number, '')}{column.group} {column.title}"
                    if benchmark.endswith("_sampled"):
                        title += " of many samples"
                    yield Column(benchmark, column.metrics[0], title)


def _others() -> Iterator[Column]:
    """The figure that stands for each benchmark."""
    for name, benchmark in BENCHMARKS.items():
        yield Column(name, benchmark.metric, benchmark.title, benchmark.higher_is_better)


def _each_once(columns: Iterable[Column]) -> tuple[Column, ...]:
    found: dict[tuple[str, str], Column] = {}
    for column in columns:
        found.setdefault((column.benchmark, column.metric), column)
    return tuple(found.values())


COLUMNS = _each_once(
    (
        *_filled("infilling_heldout", "exact_match", "Held-out lines filled"),
        Column("infilling_heldout", "pass@1", "Held-out lines, doctests pass"),
        Column("infilling_heldout", "ended", "Fillings that end by themselves"),
        *_filled("infilling_single_line", "exact_match", "HumanEval lines filled"),
        *_filled("infilling_single_line", "pass@1", "HumanEval lines, tests pass"),
        *_filled("infilling_multi_line", "pass@1", "HumanEval, several lines, tests pass"),
        *_filled("infilling_random_span", "pass@1", "HumanEval, random spans, tests pass"),
        Column("humaneval", "pass@1", "HumanEval pass@1"),
        *_papers(),
        Column("key_retrieval", "accuracy", "Keys retrieved"),
        Column("validation", "loss", "Validation loss", higher_is_better=False),
        Column("validation", "infilling_loss", "Infilling loss", higher_is_better=False),
        Column("validation", "bits_per_byte", "Bits per byte", higher_is_better=False),
        *_others(),
    )
)
