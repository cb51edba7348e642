"""How the paper measured each column of its tables, and how our figure differs from that.

A :class:`ColumnProtocol` has what differs from column to column: samples, temperature, problems. What holds for a
whole benchmark is stated in the benchmark's file (:mod:`codecascade.evaluation.statements`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codecascade.evaluation.metrics import Metric


@dataclass(frozen=True)
class ColumnProtocol:
    """How the paper measured a column.

    Attributes:
        samples: how many of each problem; None if the paper does not say.
        temperature, top_p: of the sampling. Temperature 0 is greedy.
        problems: how many the benchmark has; None if the paper does not say, or if ours are other problems anyway.
        only_at_temperature: the column is about this temperature, so figures at another one do not belong in it.
    """

    samples: int | None = 1
    temperature: float = 0.0
    top_p: float | None = None
    problems: int | None = None
    only_at_temperature: bool = False


@dataclass(frozen=True)
class PaperColumn:
    """A column of the paper's tables, which has one figure for each model.

    Attributes:
        benchmark: our benchmark whose figure belongs in it; empty if none can be compared.
        metrics: names of the metric; the first that the benchmark has is taken.
        group: what neighbouring columns have in common (a benchmark, a language).
        title: the heading of this column.
        protocol: how the paper measured it.
        instead: the benchmark to take the figure from if ``benchmark`` has none (with many samples a problem in place
            of a greedy one, or the other way round).
    """

    benchmark: str
    metrics: tuple[str, ...]
    group: str
    title: str
    protocol: ColumnProtocol
    instead: str = ""

    def find(self, figures: Mapping[str, Mapping[str, Metric]]) -> tuple[str, Metric] | None:
        """The benchmark that has a figure for this column, and the figure; ``figures[benchmark][metric]`` has all."""
        for benchmark in (self.benchmark, self.instead):
            measured = figures.get(benchmark, {})
            if (
                found := next((measured[name] for name in self.metrics if name in measured), None)
            ) is not None:
                return benchmark, found
        return None


@dataclass(frozen=True)
class PaperRow:
    """A model of the paper with its value in each column, as printed: percentages, except for losses."""

    model: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        note: what a reader must know, as in a caption.
        average: the rows have one value more than there are columns, the mean of the others.
        before: what is written before the columns' names where the table's title is not shown.
        otherwise_shown: the report of a cascade shows these figures elsewhere, and not as columns.
    """

    number: str
    title: str
    columns: tuple[PaperColumn, ...]
    rows: tuple[PaperRow, ...]
    note: str = ""
    average: bool = False
    before: str = ""
    otherwise_shown: bool = False


def remarks(
    protocol: ColumnProtocol, settings: Mapping[str, Any], tasks: int | None, total: int | None = None
) -> list[str]:
    """Sentences on how a measurement differs from a column's protocol.

    Args:
        settings: what it was measured with. If the sampling is missing, the samples were made elsewhere.
        tasks: how many problems were measured; None if it is not known.
        total: how many problems the benchmark has here.
    """
    found = []
    if tasks is not None and protocol.problems is not None and tasks != protocol.problems:
        found.append(f"{tasks:,} problems; the paper's benchmark has {protocol.problems:,}")
    elif tasks is not None and total is not None and tasks < total:
        found.append(f"{tasks:,} of the {total:,} problems")
    samples, temperature = settings.get("samples_per_problem"), settings.get("temperature")
    top_p = settings.get("top_p")
    if temperature is None:
        found.append("how the samples were made is not known")
    elif float(temperature) != protocol.temperature:
        found.append(f"{_sampling(float(temperature))}; the paper's is {_sampling(protocol.temperature)}")
    if samples is not None and protocol.samples is not None and samples != protocol.samples:
        found.append(f"{_count(samples)} a problem; the paper draws {_count(protocol.samples)}")
    if temperature and top_p is not None and protocol.top_p is not None and float(top_p) != protocol.top_p:
        found.append(f"top-p {float(top_p):g}; the paper's is {protocol.top_p:g}")
    return found


def belongs(protocol: ColumnProtocol, settings: Mapping[str, Any]) -> bool:
    """Whether a figure measured with these settings can stand in a column of this protocol."""
    return not protocol.only_at_temperature or settings.get("temperature") == protocol.temperature


def _sampling(temperature: float) -> str:
    return f"sampled at temperature {temperature:g}" if temperature else "greedy"


def _count(samples: int) -> str:
    return "one sample" if samples == 1 else f"{samples:,} samples"
