"""The headline of a cascade's report: what the last stage gained on the best that the base can do, and what it lost.

Every benchmark that both were measured by is in it, whether a difference was found or not. Where a benchmark has a
more sensitive figure than its main one, that comes first (``ReportedFigure.leads``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codecascade.evaluation.analysis.gains import Gain, ModelGains
from codecascade.evaluation.analysis.significance import LEAST_PROBLEMS
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.notation import format_metric, format_range, format_signed, is_plain, layout_name
from codecascade.reports.cascade.columns import ReportColumn
from codecascade.reports.cascade.run_report import ModelReport

_SAID = {"better": "better", "worse": "worse", "": "no difference found"}


def said(verdict: str, problems: int) -> str:
    """What a verdict over so many problems is called."""
    return _SAID[verdict] if verdict or problems >= LEAST_PROBLEMS else "too few problems to tell"


@dataclass(frozen=True)
class Headline:
    """A difference between the base and a stage, as texts.

    Attributes:
        before, after: the two figures with their units; ``asked_before`` and ``asked_after`` say in which layout.
        difference: with its sign and its 95 % interval.
        verdict: ``better``, ``worse`` or an empty string; ``said`` is the same in words.
        meaning: what the difference means to a reader, in a sentence; empty for figures that say it themselves.
    """

    title: str
    before: str
    after: str
    asked_before: str
    asked_after: str
    difference: str
    between: str
    problems: int
    verdict: str
    meaning: str = ""

    @property
    def said(self) -> str:
        return said(self.verdict, self.problems)

    @property
    def line(self) -> str:
        """All of it in a line of text."""
        asked = (self.asked_before, self.asked_after)
        before, after = (
            f"{value} ({layout})" if asked[0] != asked[1] else value
            for value, layout in zip((self.before, self.after), asked, strict=True)
        )
        meaning = f". {self.meaning}" if self.meaning else ""
        return f"{self.title}: {before} → {after}, {self.difference}: {self.said}{meaning}"


def headlines(
    columns: Sequence[ReportColumn], models: Sequence[ModelReport], gains: ModelGains
) -> list[Headline]:
    """The main figure of each benchmark, in the order of the columns; of infilling also the one left to right.

    A figure that leads comes before its benchmark's main one.
    """
    return list(_headlines(columns, models, gains))


def _headlines(
    columns: Sequence[ReportColumn], models: Sequence[ModelReport], gains: ModelGains
) -> Iterator[Headline]:
    base = models[0]
    for column in columns:
        main = BENCHMARKS[column.benchmark].metric
        if column.metric not in (main, f"{main}_{LEFT_TO_RIGHT}") and not column.leads:
            continue
        measured = [model for model in models[1:] if column.metric_of(model)]
        if not measured:
            continue
        gain = gains.between(
            base.name,
            measured[-1].name,
            column.benchmark,
            column.metric,
            higher_is_better=column.higher_is_better,
        )
        if gain is not None:
            yield _headline(column, gain, f"{base.name} → {measured[-1].name}")


def _headline(column: ReportColumn, gain: Gain, between: str) -> Headline:
    compared = gain.compared
    return Headline(
        column.title,
        *before_and_after(gain),
        layout_name(gain.before_layout),
        layout_name(gain.after_layout),
        signed_difference(gain),
        between,
        compared.difference.n,
        gain.verdict,
        surprise(gain) if column.in_nats else "",
    )


def before_and_after(gain: Gain) -> tuple[str, str]:
    """The two figures with their units, with the digits that a difference needs which was found."""
    compared = gain.compared
    before, after = (
        format_metric(each, gain.metric, compared.more_digits, with_unit=True)
        for each in (compared.first, compared.second)
    )
    return before, after


def surprise(gain: Gain) -> str:
    """What a difference in nats means, in a sentence; empty if no difference was found."""
    found = surprised(gain) if gain.verdict else ""
    return f"What really stands in a gap surprises it {found} the base" if found else ""


def surprised(gain: Gain) -> str:
    """How a loss compares with the base's, in words: ``20 % less than``; empty where the base has none to compare."""
    before, after = gain.compared.first.value, gain.compared.second.value
    if before <= 0:
        return ""
    percent = 100 * abs(after / before - 1)
    if percent < 0.5 and not gain.verdict:
        return "about as much as"
    shown = f"{percent:.0f}" if percent >= 0.5 else f"{percent:.1g}"
    return f"{shown} % {'less' if after < before else 'more'} than"


def signed_difference(gain: Gain) -> str:
    """``+7.2 points (+4.1 to +10.3)``; of a loss without a unit."""
    found, metric, more = gain.compared.difference, gain.metric, gain.compared.more_digits
    unit = "" if is_plain(metric) else " points"
    return f"{format_signed(found.value, metric, more)}{unit} ({format_range(found, metric, more)})"
