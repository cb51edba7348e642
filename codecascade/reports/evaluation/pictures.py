"""The pictures of an evaluation's report, made from the folder. A picture without data is an empty text."""

from __future__ import annotations

from collections.abc import Mapping

from codecascade.evaluation.analysis.correlations import correlate, language_scores
from codecascade.evaluation.analysis.evaluation_folder import Evaluation
from codecascade.evaluation.analysis.paper import TABLE_18
from codecascade.evaluation.analysis.paper_comparison import PaperComparison
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import Metric
from codecascade.ground.errors import UserError
from codecascade.reports import plots

_PAPER_EXAMPLES = 64
"""How many prompts each cell of the paper's key retrieval has."""


def has_picture(name: str, picture: str) -> bool:
    """Whether a benchmark's figures are drawn as this kind of picture (``curve`` or ``cells``)."""
    return name in BENCHMARKS and BENCHMARKS[name].picture == picture


def _figures(evaluation: Evaluation, picture: str) -> Mapping[str, Metric]:
    """The figures of the first benchmark with this kind of picture; empty if there is none."""
    found = (each.metrics for name, each in evaluation.benchmarks.items() if has_picture(name, picture))
    return next(found, {})


def paper_picture(found: PaperComparison, model: str) -> str:
    """The model's figures among those of the paper's models. Key retrieval is left out: it has a heat map."""
    if found.number == TABLE_18.number:
        return ""
    rows = []
    for index, (label, cell) in enumerate(zip(found.labels, found.own, strict=True)):
        # The picture's axis is in percent.
        if cell is None or cell.is_plain or not cell.metric.is_measured:
            continue
        others: dict[str, list[float]] = {}
        for name, values in found.rows:
            value = values[index]
            if value is not None:
                others.setdefault(_family(name), []).append(value)
        rows.append((label, cell.metric, others))
    return plots.paper_strip(rows, model) if rows else ""


def _family(model: str) -> str:
    for start in ("Llama 2", "Code Llama - Instruct", "Code Llama - Python", "Code Llama"):
        if model.startswith(f"{start} "):
            return start.removeprefix("Code Llama - ")
    return "Instruct" if model.startswith("Unnatural") else "others"


def correlations_picture(evaluation: Evaluation) -> str:
    """The correlations between the languages in which programs were run (paper, Fig. 3)."""
    try:
        scored = language_scores(evaluation)
    except UserError:
        # There are fewer than two languages.
        return ""
    return plots.correlation_matrices([correlate(evaluation.model, scored)])


def perplexity_picture(evaluation: Evaluation) -> str:
    """Perplexity by position in long files (paper, Fig. 4)."""
    curve = {}
    for name, metric in _figures(evaluation, "curve").items():
        _, _, position = name.partition("@")
        if position.isdecimal():
            curve[int(position)] = metric
    if len(curve) < 2:
        return ""
    return plots.perplexity_curves({evaluation.model: curve}, {evaluation.model: plots.hue(1)})


def key_retrieval_picture(evaluation: Evaluation) -> str:
    """The heat map of the model's key retrieval, beside that of Code Llama 7B."""
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
