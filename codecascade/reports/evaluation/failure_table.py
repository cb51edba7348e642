"""The table of the answers' outcomes: a bar for each benchmark, and counts with links to the problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from codecascade.evaluation.analysis.evaluation_folder import Evaluation, MeasuredBenchmark, ProblemKey
from codecascade.evaluation.analysis.failures import (
    COMPILE,
    NOT_RUN,
    PASSED,
    SYNTAX,
    TOO_LONG,
    WRONG,
    ProblemOutcomes,
    count_kinds,
    ordered_kinds,
)
from codecascade.reports.evaluation.problem_pages import kind_anchor

OutcomesByProblem = Mapping[ProblemKey, ProblemOutcomes]

_OTHER = "other exceptions"
_COLOURS = {
    PASSED: "#4fa394",
    WRONG: "#a9b6c3",
    SYNTAX: "#8a5fbf",
    COMPILE: "#b99bd9",
    "time-out": "#b5483a",
    "out of memory": "#7a2f26",
    "killed": "#4b5560",
    TOO_LONG: "#d8d3c8",
    NOT_RUN: "#e4e7eb",
    _OTHER: "#f3dcc3",
}
# The most frequent exceptions have a colour of their own.
_EXCEPTIONS = ("#d9822b", "#e39f5c", "#ecbb8a", "#f0cba6")


def failure_table(evaluation: Evaluation, problems: Mapping[str, OutcomesByProblem]) -> dict[str, Any] | None:
    """For each benchmark the parts of its bar, the counts of the common outcomes, and the exceptions by type."""
    counts = {name: count_kinds(of_benchmark.values()) for name, of_benchmark in problems.items()}
    counts = {name: count for name, count in counts.items() if count}
    if not counts:
        return None
    total: Counter[str] = sum(counts.values(), Counter())
    exceptions = [kind for kind, _ in total.most_common() if kind not in _COLOURS]
    colours = {
        **dict(zip(exceptions, _EXCEPTIONS, strict=False)),
        **dict.fromkeys(exceptions[len(_EXCEPTIONS) :], _COLOURS[_OTHER]),
        **_COLOURS,
    }
    kinds = ordered_kinds(total)
    columns = [kind for kind in kinds if kind in _COLOURS]
    own_colour = set(exceptions[: len(_EXCEPTIONS)])
    shown = [kind for kind in kinds if kind in _COLOURS or kind in own_colour]
    if len(exceptions) > len(_EXCEPTIONS):
        shown.append(_OTHER)
    return {
        "columns": columns,
        "has_exceptions": bool(exceptions),
        "legend": [(kind, colours[kind]) for kind in shown],
        "rows": [
            _failure_row(evaluation.benchmarks[name], count, problems[name], columns, exceptions, colours)
            for name, count in counts.items()
        ],
    }


def _failure_row(
    measured: MeasuredBenchmark,
    count: Counter[str],
    problems: OutcomesByProblem,
    columns: Sequence[str],
    exceptions: Sequence[str],
    colours: Mapping[str, str],
) -> dict[str, Any]:
    total = count.total()
    sections = {problem.kind for problem in problems.values()}

    def item(kind: str) -> dict[str, Any]:
        href = f"problems/{measured.name}/index.html#{kind_anchor(kind)}" if kind in sections else ""
        return {"kind": kind, "count": count[kind], "share": count[kind] / total, "href": href}

    return {
        "name": measured.name,
        "title": measured.title,
        "layouts": " and ".join(
            layout.replace("_", " ") if len(layout) > 3 else layout.upper()
            for layout in dict.fromkeys(layout for _, layout in problems if layout)
        ),
        "samples": total,
        "bar": [
            {
                "kind": kind,
                "count": count[kind],
                "percent": 100 * count[kind] / total,
                "colour": colours[kind],
            }
            for kind in ordered_kinds(count)
        ],
        "cells": [item(kind) for kind in columns],
        "exceptions": [item(kind) for kind in exceptions if count[kind]],
        "exception_count": sum(count[kind] for kind in exceptions),
    }
