"""``report.md`` and ``report.html`` of a run: what each stage changed, with intervals, pictures, examples and cost.

The page is one file without scripts or links to other files' contents, so that it can be sent, printed and opened
anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from codecascade.evaluation.analysis.compare import compare
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.notation import NOT_RUN, format_metric
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_write, write_json
from codecascade.reports import plots
from codecascade.reports.cascade.columns import ReportColumn, all_columns
from codecascade.reports.cascade.comparison_plots import loss_curve
from codecascade.reports.cascade.comparisons import compared, plain
from codecascade.reports.cascade.examples import chosen_examples, head, tail
from codecascade.reports.cascade.run_report import ModelReport, RunReport
from codecascade.reports.cascade.tree import tree
from codecascade.reports.evaluation.pictures import has_picture
from codecascade.reports.rendering import render

_INSTEAD = "left to right"
COMPARISONS = "comparisons.json"
"""The figures of the run's comparisons, for other programs."""


def write_report(report: RunReport, folder: Path) -> None:
    """Write ``report.md`` and ``report.html`` into ``folder``. An interrupted call leaves no incomplete file.

    The figures of comparisons are written to ``comparisons.json`` too. A model's own report is linked if it exists:
    ``evaluations/<model>/report.html``.
    """
    changes = ModelChanges(folder / "evaluations")
    own = {model.name: f"evaluations/{model.name}/report.html" for model in report.models}
    pages = {name: page for name, page in own.items() if (folder / page).exists()}
    comparisons = compared(report.questions, report.models, folder / "evaluations")
    view = {**_view(report, changes), "pages": pages, "comparisons": comparisons}
    if comparisons:
        write_json(folder / COMPARISONS, plain(comparisons))
    for name in ("md", "html"):
        atomic_write(folder / f"report.{name}", render(f"run.{name}", view))


def summary(report: RunReport) -> list[RenderableType]:
    """What the terminal shows at the end of a run: a table of the figures, and one answer of the last model."""
    models = report.models
    table = Table(
        "", *(model.name for model in models), title="below each figure its 95 % interval", box=None
    )
    table.title_justify = "left"
    for column in table_columns(models):
        cells = []
        for model in models:
            metric = column.metric_of(model)
            if metric is not None:
                cells.append(Text.assemble(column.text(metric), "\n", (column.interval(metric), "dim")))
            elif (metric := column.left_to_right_of(model)) is not None:
                cells.append(Text.assemble((_INSTEAD, "dim"), "\n", column.text(metric)))
            else:
                cells.append(Text())
        table.add_row(column.title + (", %" if column.percent else ""), *cells)
    shown: list[RenderableType] = [table]
    shared = chosen_examples(models)
    if shared:
        example = shared[0]
        answer = example["answers"][-1]
        right = "as in the original" if answer["correct"] else f"the original: {example['expected'].strip()}"
        text = Text(f"\nfilled in by {answer['model'].name} ({right}):\n\n", style="bold")
        text.append(tail(example["before"], 6), style="dim not bold")
        text.append(answer["text"], style="green not bold")
        text.append(head(example["after"], 4), style="dim not bold")
        shown.append(text)
    return shown


def table_columns(models: Sequence[ModelReport]) -> list[ReportColumn]:
    """The columns in which at least one model has a figure."""
    return [
        column
        for column in all_columns()
        if any(column.metric_of(model) or column.left_to_right_of(model) for model in models)
        # Columns by layout are left out if no model can infill.
        and (any(column.metric_of(model) for model in models) or not column.metric.endswith(("_psm", "_spm")))
    ]


def interval_verdict(column: ReportColumn, before: Metric, after: Metric) -> str:
    """``better`` or ``worse`` if the two intervals do not overlap, else an empty string."""
    if after.low > before.high:
        return "better" if column.higher_is_better else "worse"
    if after.high < before.low:
        return "worse" if column.higher_is_better else "better"
    return ""


class ModelChanges:
    """Whether a figure differs between two models of a run.

    The paired test of their answers decides (:mod:`codecascade.evaluation.analysis.compare`). If the models were not
    asked the same, intervals that do not overlap decide. A model that could not be asked (a base without infilling
    tokens) has no verdict.

    Args:
        evaluations: the folder with the evaluation of each model.
    """

    def __init__(self, evaluations: Path) -> None:
        self._evaluations = evaluations
        self._verdicts: dict[tuple[str, str], dict[tuple[str, str], str]] = {}

    def between(self, first: ModelReport, second: ModelReport, column: ReportColumn) -> str:
        """Whether the second model is ``better`` or ``worse`` in a column; empty if neither is shown."""
        before, after = column.metric_of(first), column.metric_of(second)
        if before is None or after is None:
            return ""
        names = first.name, second.name
        if names not in self._verdicts:
            self._verdicts[names] = self._compared(*names)
        verdict = self._verdicts[names].get((column.benchmark, column.metric))
        return interval_verdict(column, before, after) if verdict is None else verdict

    def _compared(self, first: str, second: str) -> dict[tuple[str, str], str]:
        try:
            found = compare(self._evaluations / first, self._evaluations / second)
        except UserError:
            # They have no benchmark in common that can be compared.
            return {}
        return {
            (compared.name, difference.metric): difference.verdict
            for compared in found.benchmarks
            for difference in compared.differences
        }


def _view(report: RunReport, changes: ModelChanges) -> dict[str, Any]:
    models = report.models
    base = models[0]
    hues = {model.name: plots.hue(index) for index, model in enumerate(models)}
    columns = table_columns(models)
    return {
        "report": report,
        "hues": hues,
        "columns": columns,
        "rows": [(column, [_cell(column, base, model, changes) for model in models]) for column in columns],
        "tree": tree(models, hues),
        "headlines": _headlines(columns, models, changes),
        "interval_plots": [
            plots.intervals(
                column.title,
                {model.name: metric for model in models if (metric := column.metric_of(model))},
                hues,
                percent=column.percent,
            )
            for column in columns
            if sum(column.metric_of(model) is not None for model in models) > 1
        ],
        "loss_plot": _loss_plot(models, hues),
        "key_plot": _key_plot(models),
        "examples": chosen_examples(models),
        "notes": [*report.notes, *_result_notes(models)],
        "cost": _cost(models),
    }


def _cell(
    column: ReportColumn, base: ModelReport, model: ModelReport, changes: ModelChanges
) -> dict[str, Any] | None:
    metric, instead = column.metric_of(model), column.left_to_right_of(model)
    shown = metric or instead
    if shown is None:
        if not column.not_run(model):
            return None
        return {"text": NOT_RUN, "interval": "–", "n": 0, "note": "", "change": ""}
    return {
        "text": column.text(shown),
        "interval": column.interval(shown),
        "n": shown.n,
        "note": _INSTEAD if metric is None else "",
        "change": "" if model is base or metric is None else changes.between(base, model, column),
    }


def _headlines(
    columns: Sequence[ReportColumn], models: Sequence[ModelReport], changes: ModelChanges
) -> list[dict[str, str]]:
    """The figures that differ between the base and the last stage by more than chance, improvements first.

    Figures for which the base could not be asked are left out.
    """
    found = []
    for column in columns:
        if column.asked_otherwise(models[0]):
            continue
        measured = [(model, metric) for model in models if (metric := column.metric_of(model))]
        if len(measured) < 2:
            continue
        (first, before), (last, after) = measured[0], measured[-1]
        if direction := changes.between(first, last, column):
            found.append(
                {
                    "title": column.title,
                    "before": format_metric(before, column.metric, with_unit=True),
                    "after": format_metric(after, column.metric, with_unit=True),
                    "between": f"{first.name} → {last.name}",
                    "direction": direction,
                }
            )
    return sorted(found, key=lambda headline: headline["direction"] == "worse")


def _loss_plot(models: Sequence[ModelReport], hues: dict[str, str]) -> str:
    curves = [curve for model in models if (curve := loss_curve(model)) is not None]
    return plots.loss_curves(curves, hues) if curves else ""


def _key_plot(models: Sequence[ModelReport]) -> str:
    found = {
        model.name: plots.key_cells(result.metrics)
        for model in models
        for name, result in model.results.items()
        if has_picture(name, "cells")
    }
    cells = {name: of_model for name, of_model in found.items() if of_model}
    return plots.key_retrieval(cells) if cells else ""


def _result_notes(models: Sequence[ModelReport]) -> list[str]:
    """The notes of stages and benchmarks, each once, with the models that it concerns."""
    about: dict[str, list[str]] = {}
    for model in models:
        for note in model.notes:
            about.setdefault(note, []).append(model.name)
        for result in model.results.values():
            for note in result.notes:
                about.setdefault(f"{result.name}: {note}", []).append(model.name)
    return [f"{note} ({', '.join(dict.fromkeys(names))})" for note, names in about.items()]


def _cost(models: Sequence[ModelReport]) -> dict[str, Any]:
    return {
        "tokens": sum(model.tokens for model in models),
        "steps": sum(model.steps for model in models),
        "seconds": sum(model.seconds for model in models),
        "flops": sum(model.flops for model in models),
        "evaluation_seconds": sum(model.evaluation_seconds for model in models),
    }
