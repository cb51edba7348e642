"""What a figure of the paper was measured by, and in what a figure of ours differs from that.

What differs from column to column (samples, temperature, problems) is a :class:`Protocol`; what holds for a whole
benchmark is stated beside its tasks (:mod:`codecascade.evaluation.statements`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codecascade.evaluation.metrics import Metric

_HEALED = "SPM with token healing, which the paper did not have"


@dataclass(frozen=True)
class ColumnProtocol:
    """How the paper measured a column.

    Attributes:
        samples: a problem; None where the paper does not say.
        temperature, top_p: of its sampling; temperature 0 is greedy.
        problems: of the benchmark; None where the paper does not say, or ours aren't the same ones anyway.
        unhealed: an infilling without token healing, which ours may have (``infilling.heal``).
        only_at_temperature: this column is about that temperature: figures at another one don't belong here.
    """

    samples: int | None = 1
    temperature: float = 0.0
    top_p: float | None = None
    problems: int | None = None
    unhealed: bool = False
    only_at_temperature: bool = False


@dataclass(frozen=True)
class PaperColumn:
    """One figure a model: ``group`` is what several columns have in common (a benchmark, a language).

    ``benchmark`` is empty where no figure of ours can stand beside the paper's. ``instead`` is another benchmark that
    the figure is taken from where that one has none (of many samples rather than of a greedy one, or the reverse).
    """

    benchmark: str
    metrics: tuple[str, ...]
    group: str
    title: str
    protocol: ColumnProtocol
    instead: str = ""

    def find(self, figures: Mapping[str, Mapping[str, Metric]]) -> tuple[str, Metric] | None:
        """The figure of this column among ``figures[benchmark][metric]``, and the benchmark that it is of.

        Of ``metrics`` it is the first that is there.
        """
        for benchmark in (self.benchmark, self.instead):
            measured = figures.get(benchmark, {})
            if (
                found := next((measured[name] for name in self.metrics if name in measured), None)
            ) is not None:
                return benchmark, found
        return None


@dataclass(frozen=True)
class PaperRow:
    """A model of the paper with its value in each column, as printed: percentages, save losses."""

    model: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class PaperTable:
    """``columns`` and ``rows`` of a table; ``note`` is what its caption would say. ``average``: its last column is
    the mean of the others. ``before`` is what its columns have in common and don't say; ``otherwise_shown``: a
    cascade's report has its figures elsewhere."""

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
    """What differs between ``protocol`` and the ``settings`` that ``tasks`` problems were measured by, in sentences.

    Of samples that were made elsewhere the settings aren't known, and that is what is said.

    Args:
        total: problems that the benchmark has here.
    """
    found = []
    if protocol.unhealed and settings.get("infilling.heal"):
        found.append(_HEALED)
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
    """Whether a figure measured by ``settings`` can stand in a column of ``protocol`` at all."""
    return not protocol.only_at_temperature or settings.get("temperature") == protocol.temperature


def _sampling(temperature: float) -> str:
    return f"sampled at temperature {temperature:g}" if temperature else "greedy"


def _count(samples: int) -> str:
    return "one sample" if samples == 1 else f"{samples:,} samples"
