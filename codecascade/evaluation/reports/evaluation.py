"""The report of one evaluation folder: ``report.md``, ``report.html`` and ``problems/``.

Everything comes from the folder itself (``results.json``, ``samples/``, ``tasks/``), so that a report can be written
again at any time, and after each benchmark while an evaluation is under way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codecascade.errors import UserError
from codecascade.evaluation.analysis.beside import Beside, tables_beside
from codecascade.evaluation.analysis.correlations import correlate, language_scores
from codecascade.evaluation.analysis.failures import (
    NOT_RUN,
    PASSED,
    SYNTAX,
    TOO_LONG,
    WRONG,
    Problem,
    ordered,
    table,
)
from codecascade.evaluation.analysis.folder import Evaluation, Key, Measured, read_evaluation
from codecascade.evaluation.analysis.paper import TABLE_18
from codecascade.evaluation.analysis.scores import scores, slim
from codecascade.evaluation.analysis.significance import is_binary
from codecascade.evaluation.metrics import Metric, bootstrap_mean, wilson
from codecascade.evaluation.notation import bounds, figure, unit
from codecascade.evaluation.reports import plots
from codecascade.evaluation.reports.pages import anchor, problems_of, write_pages
from codecascade.evaluation.reports.rendering import duration, number, render
from codecascade.files import atomic_write

Problems = Mapping[Key, Problem]

_OTHER = "other exceptions"
_COLOURS = {
    PASSED: "#4fa394",
    WRONG: "#a9b6c3",
    SYNTAX: "#8a5fbf",
    "time-out": "#b5483a",
    "out of memory": "#7a2f26",
    "killed": "#4b5560",
    TOO_LONG: "#d8d3c8",
    NOT_RUN: "#e4e7eb",
    _OTHER: "#f3dcc3",
}
_EXCEPTIONS = ("#d9822b", "#e39f5c", "#ecbb8a", "#f0cba6")  # the commonest have a colour of their own


def write_evaluation_report(folder: Path, *, pages: bool = True) -> None:
    """Write the report of the evaluation in ``folder``, and a page for every 40 problems of each benchmark.

    Raises:
        UserError: there is no evaluation, or a file of it is broken (file and line are named).
    """
    evaluation = read_evaluation(folder)
    problems = {name: problems_of(measured) for name, measured in evaluation.benchmarks.items()}
    if pages:
        for name, of_benchmark in problems.items():
            if of_benchmark:
                write_pages(evaluation, evaluation.benchmarks[name], of_benchmark)
    view = _view(evaluation, problems)
    for name in ("md", "html"):
        atomic_write(folder / f"report.{name}", render(f"evaluation.{name}", view))


def _view(evaluation: Evaluation, problems: Mapping[str, Problems]) -> dict[str, Any]:
    tables = tables_beside(evaluation)
    return {
        "evaluation": evaluation,
        "headlines": [_headline(measured) for measured in evaluation.benchmarks.values() if measured.main],
        "tables": [(found, _strip(found, evaluation.model)) for found in tables],
        "correlations": _correlations(evaluation),
        "perplexity": _perplexity(evaluation),
        "keys": _keys(evaluation),
        "failures": _failures(evaluation, problems),
        "figures": _figures(evaluation),
        "pages": [name for name, of_benchmark in problems.items() if of_benchmark],
        "notes": _notes(evaluation),
        "cost": _cost(evaluation),
        "settings": {
            measured.name: (measured.title, {name: _text(value) for name, value in measured.settings.items()})
            for measured in evaluation.benchmarks.values()
            if measured.settings
        },
        "data": [m for m in evaluation.benchmarks.values() if m.source or m.licence],
        "versions": {name: _text(value) for name, value in evaluation.versions.items()},
    }


# ---- figures --------------------------------------------------------------------------------------------------


def _headline(measured: Measured) -> dict[str, str]:
    metric = measured.main
    assert metric is not None
    return {
        "benchmark": measured.name,
        "title": measured.title,
        "metric": measured.metric.replace("_", " "),
        "value": figure(metric.value, measured.metric) + unit(measured.metric),
        "interval": bounds(metric, measured.metric),
        "n": f"{metric.n:,}",
        "share": _share(measured),
        "contamination": _contamination(measured),
    }


def _share(measured: Measured) -> str:
    """How much of the benchmark was measured, where it was not all of it."""
    if measured.missing:
        return f"{measured.missing:,} problems have no samples"
    if (
        measured.tasks is not None
        and measured.tasks_total is not None
        and measured.tasks < measured.tasks_total
    ):
        return f"{measured.tasks:,} of {measured.tasks_total:,} problems"
    return ""


def _contamination(measured: Measured) -> str:
    """What share of the benchmark is in the training corpus, and the score on the rest."""
    found = measured.contamination
    if not found:
        return ""
    tasks = set(found.get("tasks", ()))
    text = (
        f"{len(tasks):,} of {found.get('of', measured.tasks):,} problems share text with the training corpus"
    )
    if not tasks:
        return text
    scored = scores(measured, measured.metric, slim(measured.rows()))
    if scored is None or scored.weights is not None:
        return text
    clean = scored.values[[place[0] not in tasks for place in scored.keys]]
    if not len(clean):
        return text
    rest = wilson(int(clean.sum()), len(clean)) if is_binary(clean) else bootstrap_mean(clean)
    return f"{text}; the others: {figure(rest.value, measured.metric)} ({bounds(rest, measured.metric)})"


def _figures(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Every figure in words, but those that have a picture (cells of lengths and positions)."""
    return [
        {
            "title": measured.title,
            "name": measured.name,
            "rows": [
                {
                    "metric": name,
                    "value": figure(metric.value, name) + unit(name),
                    "interval": bounds(metric, name),
                    "n": f"{metric.n:,}",
                }
                for name, metric in measured.metrics.items()
                if "@" not in name or name.startswith("pass@")
            ],
        }
        for measured in evaluation.benchmarks.values()
    ]


# ---- pictures -------------------------------------------------------------------------------------------------


def _strip(found: Beside, model: str) -> str:
    """The model's dot among the paper's models, for tables of rates that aren't a heat map already."""
    if found.number == TABLE_18.number:
        return ""
    rows = []
    for place, (label, cell) in enumerate(zip(found.labels, found.own, strict=True)):
        if cell is None:
            continue
        others: dict[str, list[float]] = {}
        for name, values in found.rows:
            value = values[place]
            if value is not None:
                others.setdefault(_family(name), []).append(value)
        rows.append((label, cell.metric, others))
    return plots.beside(rows, model) if rows else ""


def _family(model: str) -> str:
    for start in ("Llama 2", "Code Llama - Instruct", "Code Llama - Python", "Code Llama"):
        if model.startswith(f"{start} "):
            return start.removeprefix("Code Llama - ")
    return "Instruct" if model.startswith("Unnatural") else "the paper's"


def _correlations(evaluation: Evaluation) -> str:
    """Between the languages that programs were run in (paper, Fig. 3)."""
    if sum(name.startswith("multipl_e_") for name in evaluation.benchmarks) < 1:
        return ""
    try:
        scored = language_scores(evaluation)
    except UserError:  # fewer than two
        return ""
    return plots.correlations([correlate(evaluation.model, scored)])


def _perplexity(evaluation: Evaluation) -> str:
    measured = evaluation.benchmarks.get("perplexity")
    curve = _cells(measured, "perplexity") if measured else {}
    if len(curve) < 2:
        return ""
    return plots.perplexity({evaluation.model: curve}, {evaluation.model: plots.hue(1)})


def _cells(measured: Measured, prefix: str) -> dict[int, Metric]:
    found = {}
    for name, metric in measured.metrics.items():
        kind, at, position = name.partition("@")
        if at and kind == prefix and position.isdigit():
            found[int(position)] = metric
    return found


def _keys(evaluation: Evaluation) -> str:
    """The model's heat map, and Code Llama 7B's beside it."""
    measured = evaluation.benchmarks.get("key_retrieval")
    cells: dict[tuple[int, float], Metric] = {}
    for name, metric in (measured.metrics if measured else {}).items():
        length, at, position = name.partition("@")
        if at and length.isdigit():
            cells[int(length), float(position)] = metric
    if not cells:
        return ""
    row = TABLE_18.rows[-1]
    paper = {
        (int(length), float(position)): Metric(value / 100, value / 100, value / 100, 0)
        for column, value in zip(TABLE_18.columns, row.values, strict=True)
        for length, _, position in [column.metrics[0].partition("@")]
        if value is not None
    }
    return plots.key_retrieval({evaluation.model: cells, "Code Llama 7B (paper)": paper})


# ---- failures -------------------------------------------------------------------------------------------------


def _failures(evaluation: Evaluation, problems: Mapping[str, Problems]) -> dict[str, Any] | None:
    """By benchmark: the bar's parts, the counts of the kinds that all have, and exceptions by type."""
    counts = {name: table(of_benchmark.values()) for name, of_benchmark in problems.items()}
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
    kinds = ordered(total)
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
    measured: Measured,
    count: Counter[str],
    problems: Problems,
    columns: Sequence[str],
    exceptions: Sequence[str],
    colours: Mapping[str, str],
) -> dict[str, Any]:
    total = count.total()
    sections = {problem.kind for problem in problems.values()}

    def item(kind: str) -> dict[str, Any]:
        href = f"problems/{measured.name}/index.html#{anchor(kind)}" if kind in sections else ""
        return {"kind": kind, "count": count[kind], "share": count[kind] / total, "href": href}

    return {
        "name": measured.name,
        "title": measured.title,
        "samples": total,
        "bar": [
            {
                "kind": kind,
                "count": count[kind],
                "percent": 100 * count[kind] / total,
                "colour": colours[kind],
            }
            for kind in ordered(count)
        ],
        "cells": [item(kind) for kind in columns],
        "exceptions": [item(kind) for kind in exceptions if count[kind]],
        "exception_count": sum(count[kind] for kind in exceptions),
    }


# ---- the rest -------------------------------------------------------------------------------------------------


def _notes(evaluation: Evaluation) -> list[str]:
    return [
        f"{measured.title}: {note}" for measured in evaluation.benchmarks.values() for note in measured.notes
    ]


def _cost(evaluation: Evaluation) -> dict[str, str]:
    """Totals, and the seconds of each benchmark."""
    found: dict[str, str] = {}
    for name, value in evaluation.cost.get(evaluation.model, evaluation.cost).items():
        label = str(name).replace("_", " ")
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[label.removesuffix(" seconds")] = _amount(label, float(value))
    for measured in evaluation.benchmarks.values():
        if measured.seconds is not None:
            found[measured.title] = duration(measured.seconds)
    return found


def _amount(label: str, value: float) -> str:
    if "seconds" in label:
        return duration(value)
    return number(value) if value >= 1000 or value != int(value) else f"{int(value)}"


def _text(value: Any) -> str:
    """A setting for a reader."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)
