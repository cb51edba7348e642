"""The comparisons of a cascade's report: each question with figures, intervals, cost and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codecascade.evaluation.analysis.groups import LEAST_SEEDS, Figures, GroupDifference
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.notation import (
    format_p_value,
    format_signed,
    format_value,
    is_plain,
)
from codecascade.ground.errors import UserError
from codecascade.reports.cascade.comparison_plots import pictures
from codecascade.reports.cascade.headline import SAID
from codecascade.reports.cascade.run_report import ModelReport, Question, QuestionFigure


def compared(
    questions: Sequence[Question], models: Sequence[ModelReport], evaluations: Path
) -> list[dict[str, Any]]:
    """What the report shows of each question: rows of figures, what is missing, costs, pictures.

    Args:
        evaluations: the folder with the evaluation of each model.
    """
    by_name = {model.name: model for model in models}
    return [_question(question, by_name, evaluations) for question in questions]


def plain(shown: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What :func:`compared` gives, as JSON for other programs: without pictures and formatted texts."""
    return [
        {
            "name": each["question"].name,
            "question": each["question"].text,
            "figures": [row["figures"] for row in each["rows"]],
            "missing": each["missing"],
            "cost": each["cost"],
        }
        for each in shown
    ]


def _question(question: Question, models: Mapping[str, ModelReport], evaluations: Path) -> dict[str, Any]:
    figures = Figures(evaluations, question.settings_differ)
    rows, missing = [], []
    reference, *others = question.groups
    for figure in question.figures:
        for other in others:
            try:
                found = figures.compare(
                    figure.benchmark,
                    figure.metric,
                    question.groups[reference],
                    question.groups[other],
                    against=figure.against,
                )
            except UserError as error:
                missing.append(error.message)
            else:
                rows.append(_row(figure, reference, other, found))
    return {
        "question": question,
        "reference": reference,
        "rows": rows,
        "seeds": len(question.groups[reference]),
        "least_seeds": LEAST_SEEDS,
        "missing": list(dict.fromkeys(missing)),
        "cost": [_cost(name, group, models) for name, group in question.groups.items()],
        "pictures": pictures(question, models),
    }


def _row(figure: QuestionFigure, reference: str, other: str, found: GroupDifference) -> dict[str, Any]:
    metric, unit = figure.metric, "" if is_plain(figure.metric) else ", %"
    named = metric if figure.against == metric else f"{metric} against {figure.against}"
    over_seeds = found.over_seeds
    return {
        "title": f"{BENCHMARKS[figure.benchmark].title}: {named}{unit}",
        "other": other,
        "first": format_value(found.first, metric),
        "second": format_value(found.second, metric),
        "difference": format_signed(found.difference.value, metric),
        "interval": _signed_interval(found.difference.low, found.difference.high, metric),
        "n": found.difference.n,
        "p_value": format_p_value(found.p_value),
        "over_seeds": ""
        if over_seeds is None
        else f"{format_signed(over_seeds.value, metric)} "
        f"({_signed_interval(over_seeds.low, over_seeds.high, metric)})",
        "by_seed": ", ".join(format_signed(value, metric) for value in found.by_seed),
        "verdict": found.verdict,
        "here": SAID[found.verdict],
        "paper": figure.expects or "–",
        "agrees": agreement(figure.expects, found.verdict),
        "figures": {
            "benchmark": figure.benchmark,
            "metric": metric,
            "against": figure.against,
            "first": reference,
            "second": other,
            "values": [found.first, found.second],
            "difference": found.difference.to_json(),
            "p_value": found.p_value,
            "test": found.test,
            "by_seed": list(found.by_seed),
            "over_seeds": None if over_seeds is None else over_seeds.to_json(),
            "verdict": found.verdict,
            "expects": figure.expects,
            "agrees": agreement(figure.expects, found.verdict),
        },
    }


def agreement(expected: str | None, verdict: str) -> str:
    """Whether what was found is what the paper found: ``yes``, ``no``, or ``open`` where chance may be the cause.

    No difference is what ``alike`` expects, although a small one may not have been found.

    >>> [agreement("better", found) for found in ("better", "worse", "")]
    ['yes', 'no', 'open']
    >>> [agreement("alike", found) for found in ("better", "")], agreement(None, "better")
    (['no', 'yes'], '–')
    """
    if expected is None:
        return "–"
    if expected == "alike":
        return "no" if verdict else "yes"
    return ("yes" if verdict == expected else "no") if verdict else "open"


def _signed_interval(low: float, high: float, metric: str) -> str:
    return f"{format_signed(low, metric)} to {format_signed(high, metric)}"


def _cost(name: str, group: Sequence[str], models: Mapping[str, ModelReport]) -> dict[str, Any]:
    """What the group's own stages took; what their parents took is not counted."""
    members = [models[model] for model in group if model in models]
    return {
        "group": name,
        "models": list(group),
        "tokens": sum(model.tokens for model in members),
        "seconds": sum(model.seconds for model in members),
        "evaluation_seconds": sum(model.evaluation_seconds for model in members),
    }


def in_lines(shown: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What was found, a line each, for the terminal."""
    for each in shown:
        yield f"{each['question'].name}: {each['question'].text}"
        for row in each["rows"]:
            seeds = f"; over seeds {row['over_seeds']}" if row["over_seeds"] else ""
            yield (
                f"  {row['title']}: {each['reference']} {row['first']}, {row['other']} {row['second']}, "
                f"{row['difference']} ({row['interval']}{seeds}); {row['here']}"
            )
        yield from (f"  not compared: {sentence}" for sentence in each["missing"])
