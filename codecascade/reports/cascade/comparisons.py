"""The comparisons of a cascade's report: each question with figures, intervals, cost and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codecascade.evaluation.analysis.groups import LEAST_SEEDS, Figures, GroupDifference
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.notation import (
    digits_to_see,
    format_p_value,
    format_range,
    format_signed,
    format_value,
    is_plain,
)
from codecascade.ground.errors import UserError
from codecascade.reports.cascade.comparison_plots import pictures
from codecascade.reports.cascade.headline import said
from codecascade.reports.cascade.run_report import ModelReport, Question, QuestionFigure

ALIKE = "alike"


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
    rows: list[dict[str, Any]] = []
    missing: list[str] = []
    waiting: dict[str, None] = {}
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
                members = (*question.groups[reference], *question.groups[other])
                waiting.update(dict.fromkeys(figures.not_measured(figure.benchmark, members)))
    if waiting:
        missing.append(f"seeds that are not measured yet ({', '.join(waiting)})")
    return {
        "question": question,
        "reference": reference,
        "rows": rows,
        "seeds": max((len(row["figures"]["pairs"]) for row in rows), default=0),
        "least_seeds": LEAST_SEEDS,
        "missing": list(dict.fromkeys(missing)),
        "cost": [_cost(name, group, models) for name, group in question.groups.items()],
        "pictures": pictures(question, models),
    }


def _row(figure: QuestionFigure, reference: str, other: str, found: GroupDifference) -> dict[str, Any]:
    metric, unit = figure.metric, "" if is_plain(figure.metric) else ", %"
    named = metric if figure.against == metric else f"{metric} against {figure.against}"
    over_seeds, between = found.over_seeds, found.difference
    agrees = agreement(figure, found)
    # what is called better must not be written as 0.000, nor as a difference of two figures that look the same
    more = digits_to_see(between.value, metric, found.first, found.second) if found.verdict else 0

    def signed(value: float) -> str:
        return format_signed(value, metric, more)

    def interval(of: Metric) -> str:
        return format_range(of, metric, more)

    return {
        "title": f"{BENCHMARKS[figure.benchmark].title}: {named}{unit}",
        "other": other,
        "first": format_value(found.first, metric, more),
        "second": format_value(found.second, metric, more),
        "difference": signed(between.value),
        "interval": interval(between),
        "n": between.n,
        "p_value": format_p_value(found.p_value),
        "over_seeds": "" if over_seeds is None else f"{signed(over_seeds.value)} ({interval(over_seeds)})",
        "by_seed": ", ".join(map(signed, found.by_seed)),
        "verdict": found.verdict,
        "here": said(found.verdict, between.n),
        "paper": figure.expects or "–",
        "within": f"{100 * figure.within:g} %" if figure.expects == ALIKE else "",
        "agrees": agrees,
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
            "pairs": [list(pair) for pair in found.pairs],
            "over_seeds": None if over_seeds is None else over_seeds.to_json(),
            "verdict": found.verdict,
            "expects": figure.expects,
            "within": figure.within if figure.expects == ALIKE else None,
            "agrees": agrees,
        },
    }


def agreement(figure: QuestionFigure, found: GroupDifference) -> str:
    """Whether what was found is what the paper found: ``yes``, ``no``, or ``open`` where chance may be the cause.

    Two groups are alike where the interval lies within the share of the figure that counts as alike, as in a test of
    equivalence, so that a difference may be certain and small. Where there is an interval over the seeds, it must lie
    there too. A difference that is not found shows nothing: too little may have been measured.
    """
    if figure.expects is None:
        return "–"
    if figure.expects == ALIKE:
        most = figure.within * abs(found.first)
        intervals = [each for each in (found.difference, found.over_seeds) if each is not None]
        if found.difference.n == 1:
            return "open"
        if all(-most < each.low and each.high < most for each in intervals):
            return "yes"
        return "no" if all(each.low > most or each.high < -most for each in intervals) else "open"
    return ("yes" if found.verdict == figure.expects else "no") if found.verdict else "open"


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
                f"{row['difference']} ({row['interval']}{seeds}), p {row['p_value']}; {row['here']}"
            )
        yield from (f"  not compared: {sentence}" for sentence in each["missing"])
