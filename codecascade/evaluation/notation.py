"""How figures are written: rates in percent, losses as plain numbers, and "not run" where nothing was measured."""

from __future__ import annotations

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import LEFT_TO_RIGHT, SIGNIFICANT, Metric

NOT_RUN = "not run"
"""Written in place of a figure that is over no problems: it is not a zero."""
_MOST_DIGITS = 9
"""Beyond what is usual. A difference that needs more is a rounding error."""


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


def digits_to_see(value: float, metric: str, *figures: float) -> int:
    """How many more digits than usual, of nine at most, keep a difference from being written as 0.

    Args:
        figures: those between which it lies, which are not to be written alike either.
    """
    more = next((few for few in range(_MOST_DIGITS) if float(format_value(abs(value), metric, few))), None)
    if more is None:
        return _MOST_DIGITS
    alike = bool(figures) and len({format_value(figure, metric, more) for figure in figures}) == 1
    return more + alike


def format_metric(found: Metric, metric: str, more_digits: int = 0, *, with_unit: bool = False) -> str:
    """The value of a figure, or :data:`NOT_RUN`. ``with_unit`` adds the percent sign of a rate."""
    if not found.is_measured:
        return NOT_RUN
    return format_value(found.value, metric, more_digits) + (unit_of(metric) if with_unit else "")


def format_interval(found: Metric, metric: str, more_digits: int = 0) -> str:
    """``12.3–15.6``; a dash where nothing was measured, or there is no interval."""
    if not (found.is_measured and found.has_interval):
        return "–"
    return "–".join(format_value(bound, metric, more_digits) for bound in (found.low, found.high))


def format_signed(value: float, metric: str, more_digits: int = 0) -> str:
    """A difference with its sign, as ``+1.2`` or ``−0.3`` (the minus sign, not a hyphen)."""
    text = format_value(abs(value), metric, more_digits)
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "−") + text


def format_range(found: Metric, metric: str, more_digits: int = 0) -> str:
    """The interval of a difference, as ``+1.2 to +3.4``; "no interval" where that of a single problem has no width.

    That of several problems has none only where all of them differ alike.
    """
    if found.n == 1 and not found.has_interval:
        return "no interval"
    return " to ".join(format_signed(bound, metric, more_digits) for bound in (found.low, found.high))


def format_p_value(value: float) -> str:
    """Two significant digits, or ``< 0.001``; more where they are needed to see on which side of 0.05 it lies.

    >>> format_p_value(0.0123), format_p_value(0.0498), format_p_value(0.05)
    ('0.012', '0.0498', '0.05')
    """
    if value < 0.001:
        return "< 0.001"
    if value >= 0.1:
        return f"{value:.2f}"
    texts = (f"{value:.{digits}g}" for digits in range(2, 18))
    return next(text for text in texts if (float(text) < SIGNIFICANT) == (value < SIGNIFICANT))


def unit_of(metric: str) -> str:
    """What is written after a figure: a percent sign after a rate."""
    return "" if is_plain(metric) else " %"


def layout_name(layout: str) -> str:
    """An infilling layout for a reader: ``PSM``, ``left to right``. What a benchmark adds behind it is left out."""
    return "left to right" if layout.startswith(LEFT_TO_RIGHT) else layout.partition("_")[0].upper()
