"""How figures are written: rates in percent, losses and the like as they are."""

from __future__ import annotations

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import Metric


def is_plain(metric: str) -> bool:
    """Whether a metric is written as a number rather than in percent; its benchmark says so."""
    name = metric.partition("@")[0]
    return any(name in benchmark.plain for benchmark in BENCHMARKS.values())


def figure(value: float, metric: str) -> str:
    """A rate in percent, anything else as it is."""
    return f"{value:.3f}" if is_plain(metric) else f"{100 * value:.1f}"


def bounds(found: Metric, metric: str) -> str:
    """``12.3–15.6``."""
    return f"{figure(found.low, metric)}–{figure(found.high, metric)}"


def signed(value: float, metric: str) -> str:
    """With its sign, a true minus: ``+1.2``, ``−0.3``."""
    text = figure(abs(value), metric)
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "−") + text


def p_value(value: float) -> str:
    """Two significant digits, or ``< 0.001``."""
    if value < 0.001:
        return "< 0.001"
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def unit(metric: str) -> str:
    """What follows a figure of ``metric``."""
    return "" if is_plain(metric) else " %"
