"""The report of a comparison of two evaluations: ``comparison.md`` and ``comparison.html``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from codecascade.evaluation.analysis.compare import (
    BenchmarkComparison,
    ComparedProblem,
    Comparison,
)
from codecascade.evaluation.analysis.differences import MetricDifference
from codecascade.evaluation.metrics import SIGNIFICANT, Metric
from codecascade.evaluation.notation import (
    format_interval,
    format_metric,
    format_p_value,
    format_range,
    format_signed,
    is_plain,
    layout_name,
)
from codecascade.ground.files.atomic import atomic_write
from codecascade.reports.evaluation.problem_pages import problem_address
from codecascade.reports.rendering import render

_WIDTH, _HEIGHT = 150, 20
_TONES = {"better": "#14735f", "worse": "#b5483a", "": "#7b8794"}


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write ``comparison.md`` and ``comparison.html`` into ``folder``.

    Each problem has links to its pages in both evaluations, if these pages exist.
    """
    view = _view(comparison, folder)
    for name in ("md", "html"):
        atomic_write(folder / f"comparison.{name}", render(f"comparison.{name}", view))


def difference_row(row: MetricDifference) -> dict[str, str]:
    """A difference as texts for a table. Rates are in percent."""
    name, more, found = row.metric, row.more_digits, row.difference
    return {
        "metric": name.replace("_", " ") + (f", against {layout_name(row.against)}" if row.against else ""),
        "first": format_metric(row.first, name, more),
        "first_interval": format_interval(row.first, name, more),
        "second": format_metric(row.second, name, more),
        "second_interval": format_interval(row.second, name, more),
        "difference": format_signed(found.value, name, more),
        "interval": format_range(found, name, more),
        "p": format_p_value(row.p_value),
        "test": row.test,
        "verdict": row.verdict,
        "problems": f"{row.difference.n:,}",
    }


def remarks_on(comparison: Comparison) -> list[str]:
    """Sentences on what was not compared, and on how the runs differed."""
    first, second = comparison.names
    notes = [f"Only {first} has {name}." for name in comparison.only_first]
    notes += [f"Only {second} has {name}." for name in comparison.only_second]
    notes += [f"{name}: not compared: {why}." for name, why in comparison.not_compared.items()]
    notes += [
        f"{each.title}: {difference}."
        for each in comparison.benchmarks
        for difference in each.run_differences
    ]
    return notes + [
        f"{compared.title}: not compared: {', '.join(compared.left_out)}."
        for compared in comparison.benchmarks
        if compared.left_out
    ]


def _view(comparison: Comparison, folder: Path) -> dict[str, Any]:
    first, second = comparison.names
    rates = [
        row.difference
        for compared in comparison.benchmarks
        for row in compared.differences
        if not is_plain(row.metric)
    ]
    # All rates are drawn on one scale.
    widest = max(map(_reach, rates), default=0.0)
    tests = sum(len(compared.differences) for compared in comparison.benchmarks)
    return {
        "first": first,
        "second": second,
        "tests": tests,
        "by_chance": _about(SIGNIFICANT * tests),
        "benchmarks": [
            _benchmark(comparison, compared, folder, widest) for compared in comparison.benchmarks
        ],
        "notes": remarks_on(comparison),
    }


def _about(count: float) -> str:
    """An expected number: a whole one, or below 1 one digit."""
    return f"{count:,.0f}" if count >= 0.95 else f"{count:.1g}"


def _benchmark(
    comparison: Comparison, compared: BenchmarkComparison, folder: Path, widest: float
) -> dict[str, Any]:
    def problems(found: tuple[ComparedProblem, ...]) -> list[dict[str, Any]]:
        return [
            {"name": problem.name, "links": _links(comparison, compared.name, problem, folder)}
            for problem in found
        ]

    return {
        "name": compared.name,
        "title": compared.title,
        "rows": [
            {
                **difference_row(row),
                "picture": _picture(row, _reach(row.difference) if is_plain(row.metric) else widest),
            }
            for row in compared.differences
        ],
        "gained": problems(compared.gained),
        "lost": problems(compared.lost),
    }


def _links(
    comparison: Comparison, benchmark: str, problem: ComparedProblem, folder: Path
) -> list[tuple[str, str]]:
    links = []
    sides = (
        ("first", comparison.first.folder, problem.first),
        ("second", comparison.second.folder, problem.second),
    )
    for name, evaluation, number in sides:
        page, _, anchor = problem_address(number).partition("#")
        path = evaluation / "problems" / benchmark / page
        if path.exists():
            links.append((name, f"{os.path.relpath(path, folder)}#{anchor}"))
    return links


def _reach(metric: Metric) -> float:
    return max(abs(metric.low), abs(metric.high))


def _picture(row: MetricDifference, reach: float) -> str:
    """An SVG picture: zero in the middle, the interval as a bar, the difference as a dot."""
    if reach == 0:
        return ""
    scale, middle = (_WIDTH / 2 - 6) / reach, _WIDTH / 2
    low, value, high = (
        middle + scale * bound for bound in (row.difference.low, row.difference.value, row.difference.high)
    )
    tone, y = _TONES[row.verdict], _HEIGHT / 2
    return (
        f'<svg class="difference" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="difference">'
        f'<path d="M{middle} 0V{_HEIGHT}" stroke="#cbd2d9"/>'
        f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="{tone}" stroke-width="4" stroke-linecap="round" opacity="0.4"/>'
        f'<circle cx="{value:.1f}" cy="{y}" r="4.5" fill="{tone}"/></svg>'
    )
