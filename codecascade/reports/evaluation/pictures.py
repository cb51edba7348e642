"""The pictures of an evaluation's report: each from what the folder holds, empty where that says nothing."""

from __future__ import annotations

from collections.abc import Mapping

from codecascade.evaluation.analysis.correlations import correlate, language_scores
from codecascade.evaluation.analysis.folder import Evaluation
from codecascade.evaluation.analysis.paper import TABLE_18
from codecascade.evaluation.analysis.paper_comparison import PaperComparison
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import Metric
from codecascade.ground.errors import UserError
from codecascade.reports import plots

_PAPER_EXAMPLES = 64
"""Prompts of each cell of the paper's key retrieval."""


def has_picture(name: str, picture: str) -> bool:
    """Whether a benchmark's figures are drawn so."""
    return name in BENCHMARKS and BENCHMARKS[name].picture == picture


def _figures(evaluation: Evaluation, picture: str) -> Mapping[str, Metric]:
    """The figures of the first benchmark that are drawn so; none if none are."""
    found = (each.metrics for name, each in evaluation.benchmarks.items() if has_picture(name, picture))
    return next(found, {})


def strip(found: PaperComparison, model: str) -> str:
    """The model's dot among the paper's models, for tables of rates that aren't a heat map already."""
    if found.number == TABLE_18.number:
        return ""
    rows = []
    for place, (label, cell) in enumerate(zip(found.labels, found.own, strict=True)):
        if cell is None or not cell.metric.is_measured:
            continue
        others: dict[str, list[float]] = {}
        for name, values in found.rows:
            value = values[place]
            if value is not None:
                others.setdefault(_family(name), []).append(value)
        rows.append((label, cell.metric, others))
    return plots.paper_strip(rows, model) if rows else ""


def _family(model: str) -> str:
    for start in ("Llama 2", "Code Llama - Instruct", "Code Llama - Python", "Code Llama"):
        if model.startswith(f"{start} "):
            return start.removeprefix("Code Llama - ")
    return "Instruct" if model.startswith("Unnatural") else "others"


def correlations(evaluation: Evaluation) -> str:
    """Between the languages that programs were run in (paper, Fig. 3)."""
    try:
        scored = language_scores(evaluation)
    except UserError:  # fewer than two
        return ""
    return plots.correlations([correlate(evaluation.model, scored)])


def perplexity(evaluation: Evaluation) -> str:
    """By position in long files (paper, Fig. 4)."""
    curve = {}
    for name, metric in _figures(evaluation, "curve").items():
        _, _, position = name.partition("@")
        if position.isdecimal():
            curve[int(position)] = metric
    if len(curve) < 2:
        return ""
    return plots.perplexity({evaluation.model: curve}, {evaluation.model: plots.hue(1)})


def keys(evaluation: Evaluation) -> str:
    """The model's heat map, and Code Llama 7B's beside it."""
    cells = plots.key_cells(_figures(evaluation, "cells"))
    if not cells:
        return ""
    values = zip(TABLE_18.columns, TABLE_18.rows[-1].values, strict=True)
    published = {
        column.metrics[0]: Metric(value / 100, value / 100, value / 100, _PAPER_EXAMPLES)
        for column, value in values
        if value is not None
    }
    paper = plots.key_cells(published)
    return plots.key_retrieval({evaluation.model: cells, "Code Llama 7B (paper)": paper})
