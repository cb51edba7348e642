"""``report.md`` and ``report.html``: what a run's stages changed, with intervals, pictures, examples and cost.

The page is one file without scripts or outside parts: it can be sent, printed and opened anywhere.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.reports import plots
from codecascade.evaluation.reports.cascade_data import ModelReport, RunReport
from codecascade.evaluation.reports.rendering import number, render
from codecascade.evaluation.running.result import Example
from codecascade.files import atomic_write, read_jsonl


@dataclass(frozen=True)
class Column:
    """A figure that the report shows: where it is found, what it is called, how it is written."""

    benchmark: str
    metric: str
    title: str
    percent: bool = True
    higher_is_better: bool = True

    def of(self, model: ModelReport) -> Metric | None:
        result = model.results.get(self.benchmark)
        metric = None if result is None else result.metrics.get(self.metric)
        return None if metric is None or metric.n == 0 else metric  # of no problem there is nothing to show

    def text(self, metric: Metric) -> str:
        return f"{100 * metric.value:.1f}" if self.percent else f"{metric.value:.3f}"

    def interval(self, metric: Metric) -> str:
        if self.percent:
            return f"{100 * metric.low:.1f}–{100 * metric.high:.1f}"
        return f"{metric.low:.3f}–{metric.high:.3f}"


COLUMNS = (
    Column("infilling_heldout", "exact_match", "Held-out lines filled"),
    Column("infilling_heldout", "exact_match_psm", "Held-out lines filled, PSM"),
    Column("infilling_heldout", "exact_match_spm", "Held-out lines filled, SPM"),
    Column("infilling_heldout", "exact_match_left_to_right", "Held-out lines, suffix unseen"),
    Column("infilling_heldout", "pass@1", "Held-out lines, doctests pass"),
    Column("infilling_heldout", "ended", "Fillings that end by themselves"),
    Column("infilling_single_line", "exact_match", "HumanEval lines filled"),
    Column("infilling_single_line", "exact_match_psm", "HumanEval lines filled, PSM"),
    Column("infilling_single_line", "exact_match_spm", "HumanEval lines filled, SPM"),
    Column("infilling_single_line", "exact_match_left_to_right", "HumanEval lines, suffix unseen"),
    Column("infilling_single_line", "pass@1", "HumanEval lines, tests pass"),
    Column("humaneval", "pass@1", "HumanEval pass@1"),
    Column("key_retrieval", "accuracy", "Keys retrieved"),
    Column("validation", "loss", "Validation loss", percent=False, higher_is_better=False),
    Column("validation", "infilling_loss", "Infilling loss", percent=False, higher_is_better=False),
    Column("validation", "bits_per_byte", "Bits per byte", percent=False, higher_is_better=False),
)


def write_report(report: RunReport, folder: Path) -> None:
    """Write ``report.md`` and ``report.html`` into ``folder``, each whole or not at all."""
    view = _view(report)
    for name in ("md", "html"):
        atomic_write(folder / f"report.{name}", render(f"run.{name}", view))


def summary(report: RunReport) -> list[RenderableType]:
    """What a terminal shows at the end: a table of the figures, and one text that the last model filled in."""
    models = report.models
    table = Table(
        "", *(model.name for model in models), title="below each figure its 95 % interval", box=None
    )
    table.title_justify = "left"
    for column in table_columns(models):
        cells = []
        for model in models:
            metric = column.of(model)
            cells.append(
                "" if metric is None else f"{column.text(metric)}\n[dim]{column.interval(metric)}[/]"
            )
        table.add_row(column.title + (", %" if column.percent else ""), *cells)
    shown: list[RenderableType] = [table]
    examples = _examples(models)
    if examples:
        example = examples[0]
        answer = example["answers"][-1]
        right = "as in the original" if answer["correct"] else f"the original: {example['expected'].strip()}"
        text = Text(f"\nfilled in by {answer['model'].name} ({right}):\n\n", style="bold")
        text.append(_tail(example["before"], 6), style="dim not bold")
        text.append(answer["text"], style="green not bold")
        text.append(_head(example["after"], 4), style="dim not bold")
        shown.append(text)
    return shown


def table_columns(models: Sequence[ModelReport]) -> list[Column]:
    """The columns that at least one model has a figure for."""
    return [column for column in COLUMNS if any(column.of(model) for model in models)]


def changed(column: Column, before: Metric | None, after: Metric | None) -> str:
    """``better`` or ``worse`` where the intervals of the two don't overlap, else an empty string."""
    if before is None or after is None:
        return ""
    if after.low > before.high:
        return "better" if column.higher_is_better else "worse"
    if after.high < before.low:
        return "worse" if column.higher_is_better else "better"
    return ""


def _view(report: RunReport) -> dict[str, Any]:
    models = report.models
    base = models[0]
    hues = {model.name: plots.hue(place) for place, model in enumerate(models)}
    columns = table_columns(models)
    return {
        "report": report,
        "hues": hues,
        "columns": columns,
        "rows": [(model, [_cell(column, base, model) for column in columns]) for model in models],
        "tree": _tree(models, hues),
        "headlines": _headlines(columns, models),
        "interval_plots": [
            plots.intervals(
                column.title,
                {model.name: metric for model in models if (metric := column.of(model))},
                hues,
                percent=column.percent,
            )
            for column in columns
            if sum(column.of(model) is not None for model in models) > 1
        ],
        "loss_plot": _loss_plot(models, hues),
        "key_plot": _key_plot(models),
        "examples": _examples(models),
        "notes": [*report.notes, *_result_notes(models)],
        "cost": _cost(models),
    }


def _cell(column: Column, base: ModelReport, model: ModelReport) -> dict[str, Any] | None:
    metric = column.of(model)
    if metric is None:
        return None
    return {
        "text": column.text(metric),
        "interval": column.interval(metric),
        "n": metric.n,
        "change": "" if model is base else changed(column, column.of(base), metric),
    }


def _headlines(columns: Sequence[Column], models: Sequence[ModelReport]) -> list[dict[str, str]]:
    """Base -> last stage for the figures that moved beyond their intervals, the best news first."""
    found = []
    for column in columns:
        measured = [(model, metric) for model in models if (metric := column.of(model))]
        if len(measured) < 2:
            continue
        (first, before), (last, after) = measured[0], measured[-1]
        if direction := changed(column, before, after):
            unit = " %" if column.percent else ""
            found.append(
                {
                    "title": column.title,
                    "before": column.text(before) + unit,
                    "after": column.text(after) + unit,
                    "between": f"{first.name} → {last.name}",
                    "direction": direction,
                }
            )
    return sorted(found, key=lambda headline: headline["direction"] == "worse")


def _tree(models: Sequence[ModelReport], hues: dict[str, str]) -> str:
    """The tree of models from left to right, as SVG: a box each, with what made it."""
    width, height, gap_x, gap_y = 168, 62, 46, 16
    column: dict[str, int] = {}
    row: dict[str, int] = {}
    for model in models:
        column[model.name] = 0 if model.parent is None else column[model.parent] + 1
        siblings = [other for other in models if other.parent == model.parent and other.name in row]
        if model.parent is not None and not siblings:
            row[model.name] = row[model.parent]
        else:
            row[model.name] = 1 + max(row.values(), default=-1)
    parts = []
    for model in models:
        x, y = column[model.name] * (width + gap_x), row[model.name] * (height + gap_y)
        if model.parent is not None:
            from_x = column[model.parent] * (width + gap_x) + width
            from_y = row[model.parent] * (height + gap_y) + height / 2
            middle = (from_x + x) / 2
            parts.append(
                f'<path d="M{from_x} {from_y} C{middle} {from_y} {middle} {y + height / 2} {x} {y + height / 2}" '
                f'fill="none" stroke="{plots.QUIET}" stroke-width="1.5"/>'
            )
        line = "the model that came in"
        if model.parent is not None:
            line = f"{number(model.tokens)} tokens, {model.steps:,} steps"
        parts.append(
            f'<g transform="translate({x} {y})"><rect width="{width}" height="{height}" rx="8" fill="white" '
            f'stroke="{hues[model.name]}" stroke-width="2"/>'
            f'<text x="14" y="26" font-weight="600" fill="{plots.INK}">{html.escape(model.name)}</text>'
            f'<text x="14" y="46" font-size="12" fill="{plots.QUIET}">{html.escape(line)}</text></g>'
        )
    full_width = (max(column.values()) + 1) * (width + gap_x) - gap_x
    full_height = (max(row.values()) + 1) * (height + gap_y) - gap_y
    return (
        f'<svg viewBox="-2 -2 {full_width + 4} {full_height + 4}" width="{full_width + 4}" '
        f'role="img" aria-label="tree of models">{"".join(parts)}</svg>'
    )


def _loss_plot(models: Sequence[ModelReport], hues: dict[str, str]) -> str:
    curves = []
    for model in models:
        if model.log is not None and model.log.exists():
            rows = [row for _, row in read_jsonl(model.log)]
            if rows:
                tokens, losses = [row["tokens"] for row in rows], [row["loss"] for row in rows]
                curves.append(plots.LossCurve(model.name, tokens, losses))
    return plots.loss_curves(curves, hues) if curves else ""


def _key_plot(models: Sequence[ModelReport]) -> str:
    cells: dict[str, dict[tuple[int, float], Metric]] = {}
    for model in models:
        result = model.results.get("key_retrieval")
        for name, metric in (result.metrics if result else {}).items():
            length, at, position = name.partition("@")
            if at:
                cells.setdefault(model.name, {})[int(length), float(position)] = metric
    return plots.key_retrieval(cells) if cells else ""


def _examples(models: Sequence[ModelReport]) -> list[dict[str, Any]]:
    """The same problems before and after: two that the last model gained, one that it still gets wrong."""
    for benchmark in ("infilling_heldout", "infilling_single_line", "humaneval"):
        measured = [model for model in models if benchmark in model.results]
        if len(measured) < 2:
            continue
        by_task = [
            {example.task_id: example for example in model.results[benchmark].examples} for model in measured
        ]
        shared = [task for task in by_task[-1] if all(task in answers for answers in by_task)]
        gained = [task for task in shared if by_task[-1][task].correct and not by_task[0][task].correct]
        missed = [task for task in shared if not by_task[-1][task].correct]
        chosen = sorted(gained, key=lambda task: _effort(by_task[-1][task]), reverse=True)[:2] + missed[:1]
        return [
            {
                "task_id": task,
                "before": _tail(by_task[-1][task].prompt, 14),
                "after": _head(by_task[-1][task].suffix, 8),  # a base that can't infill was not shown it
                "expected": by_task[-1][task].expected,
                "answers": [
                    {"model": model, "text": answers[task].completion, "correct": answers[task].correct}
                    for model, answers in zip(measured, by_task, strict=True)
                ],
            }
            for task in chosen
        ]
    return []


def _effort(example: Example) -> int:
    """Longer lines are better examples, up to what fits a line of the page."""
    length = len(example.expected.strip())
    return length if length <= 70 else 0


def _tail(text: str, lines: int) -> str:
    return "\n".join(text.split("\n")[-lines:])


def _head(text: str, lines: int) -> str:
    return "\n".join(text.split("\n")[:lines])


def _result_notes(models: Sequence[ModelReport]) -> list[str]:
    """Notes of stages and benchmarks, each once, with the models that it is about."""
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
