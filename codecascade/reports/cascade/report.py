"""``report.md`` and ``report.html`` of a run: what each stage changed, with intervals, pictures, examples and cost.

The page is one file without scripts or links to other files' contents, so that it can be sent, printed and opened
anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from codecascade.evaluation.analysis.gains import ModelGains
from codecascade.evaluation.metrics import LEFT_TO_RIGHT, Metric
from codecascade.evaluation.notation import NOT_RUN
from codecascade.ground.files.atomic import atomic_write, write_json
from codecascade.ground.format import shown_command
from codecascade.reports import plots
from codecascade.reports.cascade.advice import advice, other_examples
from codecascade.reports.cascade.columns import ReportColumn, all_columns
from codecascade.reports.cascade.comparison_plots import loss_curve
from codecascade.reports.cascade.comparisons import compared, in_lines, plain
from codecascade.reports.cascade.figure_table import INSTEAD, FigureTable
from codecascade.reports.cascade.headline import headlines
from codecascade.reports.cascade.run_report import ModelReport, RunReport
from codecascade.reports.cascade.tree import tree
from codecascade.reports.evaluation.pictures import has_picture
from codecascade.reports.rendering import render

COMPARISONS = "comparisons.json"
"""The figures of the run's comparisons, for other programs."""
_COLOURS = {"better": "green", "worse": "red", "": "default"}


def write_report(report: RunReport, folder: Path) -> None:
    """Write ``report.md`` and ``report.html`` into ``folder``. An interrupted call leaves no incomplete file.

    The commands that they name have the folder as it is given here.

    The figures of comparisons are written to ``comparisons.json`` too. A model's own report is linked if it exists:
    ``evaluations/<model>/report.html``.
    """
    own = {model.name: f"evaluations/{model.name}/report.html" for model in report.models}
    pages = {name: page for name, page in own.items() if (folder / page).exists()}
    comparisons = compared(report.questions, report.models, folder / "evaluations")
    view = {
        **_view(report, ModelGains(folder / "evaluations")),
        # commands are for where the run was called, as the one that made it
        "in_run": lambda path: str(folder / path),
        "command": shown_command,
        "pages": pages,
        "comparisons": comparisons,
    }
    if comparisons:
        write_json(folder / COMPARISONS, plain(comparisons))
    else:
        # an earlier call may have asked something
        (folder / COMPARISONS).unlink(missing_ok=True)
    for name in ("md", "html"):
        atomic_write(folder / f"report.{name}", render(f"run.{name}", view))


def summary(report: RunReport, folder: Path) -> list[RenderableType]:
    """What the terminal shows at the end of a run: the figures, the headline, and whether to use the model.

    A run that asks questions is a study: their answers take the place of the headline and the advice, for its models
    are not made to be used. The headline comes last, where a reader of a terminal looks first.

    Args:
        folder: the run's, with the evaluation of each model.
    """
    models, gains = report.models, ModelGains(folder / "evaluations")
    columns = table_columns(models)
    shown: list[RenderableType] = [FigureTable(columns, models)]
    if report.questions:
        answers = in_lines(compared(report.questions, models, folder / "evaluations"))
        return [*shown, Text("\n" + "\n".join(answers))]
    own = report.of_first_base()
    if found := headlines(columns, own.models, gains):
        lines = Text(f"\n{found[0].between}, by paired tests:\n", style="bold")
        for each in found:
            # another stage may be the last that a benchmark measured
            other = "" if each.between == found[0].between else f" ({each.between})"
            lines.append(f"  {each.line}{other}\n", style=f"{_COLOURS[each.verdict]} not bold")
        shown.append(lines)
    if (advised := advice(own, columns, gains)) is not None:
        answer = f"Should I use it? {advised.answer}{advised.mark} "
        text = Text(answer, style=f"bold {_COLOURS[advised.tone]}")
        text.append(advised.reason, style="default not bold")
        for sentence in advised.more:
            text.append(f" {sentence}", style="default not bold")
        shown.append(text)
    return shown


def table_columns(models: Sequence[ModelReport]) -> list[ReportColumn]:
    """The columns in which at least one model has a figure."""
    return [
        column
        for column in all_columns()
        if any(column.metric_of(model) or column.left_to_right_of(model) for model in models)
        # A column left to right is left out if its figures stand in the main column already.
        and (not column.metric.endswith(LEFT_TO_RIGHT) or any(_infilled(column, model) for model in models))
    ]


def _infilled(column: ReportColumn, model: ModelReport) -> bool:
    """Whether the model was asked left to right and with the suffix."""
    result = model.results.get(column.benchmark)
    plain = column.metric.removesuffix(f"_{LEFT_TO_RIGHT}")
    return result is not None and {plain, column.metric} <= result.metrics.keys()


def interval_verdict(column: ReportColumn, before: Metric, after: Metric) -> str:
    """``better`` or ``worse`` if there are two intervals that do not overlap, else an empty string."""
    if not (before.has_interval and after.has_interval):
        return ""
    if after.low > before.high:
        return "better" if column.higher_is_better else "worse"
    if after.high < before.low:
        return "worse" if column.higher_is_better else "better"
    return ""


def change(first: ModelReport, second: ModelReport, column: ReportColumn, gains: ModelGains) -> str:
    """Whether the second model is ``better`` or ``worse`` in a column; empty if neither is shown.

    The paired test against the best that the first model can do decides. If the two were not asked the same,
    intervals that do not overlap decide.
    """
    before, after = column.metric_of(first), column.metric_of(second)
    if after is None:
        return ""
    gain = gains.between(
        first.name, second.name, column.benchmark, column.metric, higher_is_better=column.higher_is_better
    )
    if gain is not None:
        return gain.verdict
    return "" if before is None else interval_verdict(column, before, after)


def _view(report: RunReport, gains: ModelGains) -> dict[str, Any]:
    models = report.models
    hues = {model.name: plots.hue(index) for index, model in enumerate(models)}
    columns = table_columns(models)
    # a study's models are not made to be used: its answers are the comparisons
    own = report.of_first_base()
    advised = None if report.questions else advice(own, columns, gains)
    return {
        "report": report,
        "hues": hues,
        "columns": columns,
        "rows": [(column, _cells(column, report, gains)) for column in columns],
        "tree": tree(models, hues),
        "headlines": [] if report.questions else headlines(columns, own.models, gains),
        "advice": advised,
        "interval_plots": [
            plots.intervals(title, shown, hues, percent=column.percent)
            for column in columns
            for title, shown in [_with_left_to_right(column, models)]
            if len(shown) > 1
        ],
        "loss_plot": _loss_plot(models, hues),
        "key_plot": _key_plot(models),
        "examples": None if advised else other_examples(columns, own.models, gains),
        "notes": [*report.notes, *_result_notes(models)],
        "cost": _cost(models),
    }


def _with_left_to_right(column: ReportColumn, models: Sequence[ModelReport]) -> tuple[str, dict[str, Metric]]:
    """A column's figures for a picture, with its title. It names the models that could not be asked to infill."""
    shown = {
        model.name: metric
        for model in models
        if (metric := column.metric_of(model) or column.left_to_right_of(model))
    }
    instead = [model.name for model in models if model.name in shown and not column.metric_of(model)]
    return column.title + (f" ({', '.join(instead)}: {INSTEAD})" if instead else ""), shown


def _cells(column: ReportColumn, report: RunReport, gains: ModelGains) -> list[dict[str, Any] | None]:
    """The row of a column, with the digits that tell each marked figure from its base's."""
    bases = {model.name: report.base_of(model) for model in report.models}
    changes = {
        model.name: "" if model is bases[model.name] else change(bases[model.name], model, column, gains)
        for model in report.models
    }
    more = 0
    for model in report.models:
        before, after = column.metric_of(bases[model.name]), column.metric_of(model)
        if changes[model.name] and before and after and before.value != after.value:
            more = max(more, column.digits_to_see(before, after))
    return [_cell(column, model, changes[model.name], more) for model in report.models]


def _cell(column: ReportColumn, model: ModelReport, change: str, more_digits: int) -> dict[str, Any] | None:
    metric, instead = column.metric_of(model), column.left_to_right_of(model)
    shown = metric or instead
    if shown is None:
        if not column.not_run(model):
            return None
        return {"text": NOT_RUN, "interval": "–", "n": 0, "note": "", "change": ""}
    return {
        "text": column.text(shown, more_digits),
        "interval": column.interval(shown, more_digits),
        "n": shown.n,
        "note": INSTEAD if metric is None else "",
        "change": change,
    }


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
