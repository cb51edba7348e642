"""How figures are written: rates in percent, losses as plain numbers, and "not run" where nothing was measured."""

from __future__ import annotations

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import LEFT_TO_RIGHT, Metric

NOT_RUN = "not run"
"""Written in place of a figure that is over no problems: it is not a zero."""


def is_plain(metric: str) -> bool:
    """Whether a metric is written as a plain number instead of in percent. Its benchmark decides.

    A metric of some of the problems has a name that begins like that of all (``middle_nats_per_byte_line``).
    """
    name = metric.partition("@")[0]
    return any(
        name == plain or name.startswith(f"{plain}_")
        for benchmark in BENCHMARKS.values()
        for plain in benchmark.plain_metrics
    )


def format_value(value: float, metric: str, more_digits: int = 0) -> str:
    """``12.3`` for a rate of 0.123; ``1.234`` for a loss."""
    return f"{value:.{3 + more_digits}f}" if is_plain(metric) else f"{100 * value:.{1 + more_digits}f}"


def digits_to_see(value: float, metric: str) -> int:
    """How many more digits than usual, of four at most, keep a difference from being written as 0."""
    return next((more for more in range(4) if float(format_value(abs(value), metric, more))), 4)


def format_metric(found: Metric, metric: str, *, with_unit: bool = False) -> str:
    """The value of a figure, or :data:`NOT_RUN`. ``with_unit`` adds the percent sign of a rate."""
    if not found.is_measured:
        return NOT_RUN
    return format_value(found.value, metric) + (unit_of(metric) if with_unit else "")


def format_interval(found: Metric, metric: str) -> str:
    """``12.3–15.6``; a dash where nothing was measured."""
    if not found.is_measured:
        return "–"
    return f"{format_value(found.low, metric)}–{format_value(found.high, metric)}"


def format_signed(value: float, metric: str, more_digits: int = 0) -> str:
    """A difference with its sign, as ``+1.2`` or ``−0.3`` (the minus sign, not a hyphen)."""
    text = format_value(abs(value), metric, more_digits)
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "−") + text


def format_p_value(value: float) -> str:
    """Two significant digits, or ``< 0.001``."""
    if value < 0.001:
        return "< 0.001"
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def unit_of(metric: str) -> str:
    """What is written after a figure: a percent sign after a rate."""
    return "" if is_plain(metric) else " %"


def layout_name(layout: str) -> str:
    """An infilling layout for a reader: ``PSM``, ``left to right``. What a benchmark adds behind it is left out."""
    return "left to right" if layout.startswith(LEFT_TO_RIGHT) else layout.partition("_")[0].upper()
