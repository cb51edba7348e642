"""The report of one evaluation folder: ``report.md``, ``report.html`` and ``problems/``.

All of it is made from the folder (``results.json``, ``samples/``, ``tasks/``). So a report can be written again at
any time, and after each benchmark while an evaluation is running.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from codecascade.evaluation.analysis.evaluation_folder import Evaluation, MeasuredBenchmark, read_evaluation
from codecascade.evaluation.analysis.paper_comparison import paper_comparisons
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.metrics import LEFT_TO_RIGHT, left_to_right
from codecascade.evaluation.notation import format_interval, format_metric
from codecascade.evaluation.running.result import judge_prompt_file
from codecascade.ground.files.atomic import atomic_write
from codecascade.ground.files.reading import read_text
from codecascade.ground.format import show_count, show_seconds
from codecascade.reports.evaluation import pictures
from codecascade.reports.evaluation.failure_table import OutcomesByProblem, failure_table
from codecascade.reports.evaluation.problem_pages import problem_outcomes, write_pages
from codecascade.reports.rendering import render


def write_evaluation_report(folder: Path, *, pages: bool = True) -> None:
    """Write the report of the evaluation in ``folder``, and a page for every 40 problems of each benchmark.

    Raises:
        UserError: there is no evaluation, or a file of it is malformed (file and line are named).
    """
    evaluation = read_evaluation(folder)
    problems = {name: problem_outcomes(measured) for name, measured in evaluation.benchmarks.items()}
    if pages:
        for name, of_benchmark in problems.items():
            if of_benchmark:
                write_pages(evaluation, evaluation.benchmarks[name], of_benchmark)
    view = _view(evaluation, problems)
    for name in ("md", "html"):
        atomic_write(folder / f"report.{name}", render(f"evaluation.{name}", view))


def _view(evaluation: Evaluation, problems: Mapping[str, OutcomesByProblem]) -> dict[str, Any]:
    tables = paper_comparisons(evaluation)
    return {
        "evaluation": evaluation,
        "headlines": [found for each in evaluation.benchmarks.values() if (found := _headline(each))],
        "tables": [(found, pictures.paper_picture(found, evaluation.model)) for found in tables],
        "correlations": pictures.correlations_picture(evaluation),
        "perplexity": pictures.perplexity_picture(evaluation),
        "keys": pictures.key_retrieval_picture(evaluation),
        "failures": failure_table(evaluation, problems),
        "figures": _figures(evaluation),
        "pages": [name for name, of_benchmark in problems.items() if of_benchmark],
        "notes": _notes(evaluation),
        "judge_prompts": _judge_prompts(evaluation),
        "cost": _cost(evaluation),
        "settings": {
            measured.name: (measured.title, _settings(evaluation, measured))
            for measured in evaluation.benchmarks.values()
            if measured.settings
        },
        "data": [m for m in evaluation.benchmarks.values() if m.source or m.licence],
        "tools": {name: _text(value) for name, value in (evaluation.about | evaluation.versions).items()},
    }


def _headline(measured: MeasuredBenchmark) -> dict[str, str] | None:
    """The main figure of the benchmark. For a model that can't infill it is the left-to-right figure."""
    instead = left_to_right(measured.metrics, measured.metric)
    metric = instead or measured.main
    if metric is None:
        return None
    name = measured.metric.replace("_", " ")
    return {
        "benchmark": measured.name,
        "title": measured.title,
        "metric": name if instead is None else f"{name} left to right, for it has no infilling tokens",
        "value": format_metric(metric, measured.metric, with_unit=True),
        "interval": format_interval(metric, measured.metric),
        "n": f"{metric.n:,}",
        "share": _share(measured),
        "contamination": _contamination(measured),
        "judge": measured.judge,
    }


def _share(measured: MeasuredBenchmark) -> str:
    """How much of the benchmark was measured; empty if all of it was."""
    if measured.missing:
        return f"{measured.missing:,} problems have no samples"
    if (
        measured.tasks is not None
        and measured.tasks_total is not None
        and measured.tasks < measured.tasks_total
    ):
        return f"{measured.tasks:,} of {measured.tasks_total:,} problems"
    return ""


def _contamination(measured: MeasuredBenchmark) -> str:
    """How many problems are in the training corpus, and the score on the others."""
    found = measured.contamination
    if not found:
        return ""
    tasks = set(found.get("tasks", ()))
    text = (
        f"{len(tasks):,} of {found.get('of', measured.tasks):,} problems share text with the training corpus"
    )
    if not tasks:
        return text
    instead = left_to_right(measured.metrics, measured.metric)
    metric = measured.metric if instead is None else f"{measured.metric}_{LEFT_TO_RIGHT}"
    scored = scores_of(measured).get(metric)
    if scored is None or scored.weights is not None:
        return text
    clean = [index for index, (task_id, _) in enumerate(scored.keys) if task_id not in tasks]
    if not clean:
        return text
    keys = tuple(scored.keys[index] for index in clean)
    rest = replace(scored, keys=keys, values=scored.values[clean]).metric(0)
    return f"{text}; the others: {format_metric(rest, measured.metric)} ({format_interval(rest, measured.metric)})"


def _figures(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Every figure as texts for a table."""
    return [
        {
            "title": measured.title,
            "name": measured.name,
            "judge": measured.judge,
            "rows": [
                {
                    "metric": name,
                    "value": format_metric(metric, name, with_unit=True),
                    "interval": format_interval(metric, name),
                    "n": f"{metric.n:,}",
                }
                for name, metric in measured.metrics.items()
            ],
        }
        for measured in evaluation.benchmarks.values()
    ]


def _notes(evaluation: Evaluation) -> list[str]:
    return [
        f"{measured.title}: {note}" for measured in evaluation.benchmarks.values() for note in measured.notes
    ]


def _judge_prompts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """The prompts by which language models judged: the benchmark's title, and the text."""
    found = []
    for measured in evaluation.benchmarks.values():
        path = judge_prompt_file(evaluation.folder, measured.name)
        # Only the file of that name: what results.json says may come from anywhere.
        if measured.judge_prompt and path.exists():
            found.append((measured.title, read_text(path)))
    return found


def _settings(evaluation: Evaluation, measured: MeasuredBenchmark) -> dict[str, str]:
    """The settings of a benchmark; with its command, if that is not the last command of the folder."""
    found = {name: _text(value) for name, value in measured.settings.items()}
    return found if measured.command in ("", evaluation.command) else found | {"command": measured.command}


def _cost(evaluation: Evaluation) -> dict[str, str]:
    """The totals of the evaluation, and the time of each benchmark."""
    found: dict[str, str] = {}
    for name, value in evaluation.cost.items():
        label = str(name).replace("_", " ")
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[label.removesuffix(" seconds")] = _amount(label, float(value))
    for measured in evaluation.benchmarks.values():
        if measured.seconds is not None:
            found[measured.title] = show_seconds(measured.seconds)
    return found


def _amount(label: str, value: float) -> str:
    if "seconds" in label:
        return show_seconds(value)
    return show_count(value) if value >= 1000 or value != int(value) else f"{int(value)}"


def _text(value: Any) -> str:
    """The value of a setting as text for a reader."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)
