"""A model's figures in the paper's tables: its own row above the paper's, with a remark on whatever differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from codecascade.evaluation.analysis.folder import Evaluation, MeasuredBenchmark
from codecascade.evaluation.analysis.paper import TABLES
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.analysis.protocol import PaperColumn, PaperTable, belongs, remarks
from codecascade.evaluation.benchmarks.code.multipl_e import problem_number
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.notation import format_interval, format_metric
from codecascade.evaluation.statements import departures


@dataclass(frozen=True)
class OwnFigure:
    """One of the model's own figures; ``marks`` are the letters of the remarks on it, with spaces between."""

    metric: Metric
    text: str
    interval: str
    marks: str = ""


@dataclass(frozen=True)
class PaperComparison:
    """A table of the paper as far as the model was measured by it.

    Attributes:
        groups: what columns have in common, and how many these are.
        titles: of the columns, one by one.
        own: the model's row; None where it has no figure.
        rows: the paper's models, with each column's value in percent.
        remarks: letter -> sentence.
    """

    number: str
    title: str
    note: str
    groups: tuple[tuple[str, int], ...]
    titles: tuple[str, ...]
    own: tuple[OwnFigure | None, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    remarks: Mapping[str, str]

    @property
    def labels(self) -> tuple[str, ...]:
        """``HumanEval pass@1``: a column's whole name."""
        groups = [group for group, span in self.groups for _ in range(span)]
        return tuple(
            group if title in ("", group) else f"{group} {title}"
            for group, title in zip(groups, self.titles, strict=True)
        )


def paper_comparisons(evaluation: Evaluation) -> list[PaperComparison]:
    """The paper's tables in which the evaluation has a figure."""
    return [found for table in TABLES if (found := _beside(table, evaluation)) is not None]


def _beside(table: PaperTable, evaluation: Evaluation) -> PaperComparison | None:
    figures = evaluation.figures
    comparable = {column: _comparable(column, evaluation) for column in table.columns}
    measured = [column for column, names in comparable.items() if names]
    found = {column: column.find({name: figures[name] for name in comparable[column]}) for column in measured}
    if not any(found.values()) or not _says_more(table, measured):
        return None
    places = [place for place, column in enumerate(table.columns) if column in found or not column.benchmark]
    columns = [table.columns[place] for place in places]
    letters: dict[str, str] = {}
    own = [
        _cell(figure_of[1], column, evaluation.benchmarks[figure_of[0]], letters)
        if (figure_of := found.get(column)) is not None
        else None
        for column in columns
    ]
    groups = tuple((name, len(list(same))) for name, same in groupby(column.group for column in columns))
    titles = [column.title for column in columns]
    if table.average and len(columns) == len(table.columns) and all(own):
        places.append(len(table.columns))
        groups = (*groups, ("Average", 1))
        titles.append(titles[-1])
        own.append(_average(columns, evaluation, _marks(own)))
    return PaperComparison(
        table.number,
        table.title,
        table.note,
        groups,
        tuple(titles),
        tuple(own),
        tuple((row.model, tuple(row.values[place] for place in places)) for row in table.rows),
        {letter: sentence for sentence, letter in letters.items()},
    )


def _comparable(column: PaperColumn, evaluation: Evaluation) -> list[str]:
    """The benchmarks whose figures may stand in the column, the one that it is of first."""
    return [
        name
        for name in (column.benchmark, column.instead)
        if (measured := evaluation.benchmarks.get(name)) is not None
        and belongs(column.protocol, measured.settings)
    ]


def _says_more(table: PaperTable, columns: list[PaperColumn]) -> bool:
    """Whether a column is not in an earlier table already, or of a protocol of its own."""
    earlier = {
        (column.benchmark, column.metrics)
        for table in TABLES[: TABLES.index(table)]
        for column in table.columns
    }
    return any(
        column.protocol.only_at_temperature or (column.benchmark, column.metrics) not in earlier
        for column in columns
    )


def _cell(
    metric: Metric, column: PaperColumn, measured: MeasuredBenchmark, letters: dict[str, str]
) -> OwnFigure:
    name = column.metrics[0]
    total = None if measured.missing else measured.tasks_total
    sentences = remarks(column.protocol, measured.settings, measured.tasks, total)
    if (stated := BENCHMARKS[measured.name].paper_protocol) is not None:
        sentences += departures(stated, {**measured.settings, **measured.conditions})
    if measured.missing:
        sentences.append(f"{measured.missing:,} problems have no samples and are left out")
    if measured.contamination and measured.contamination.get("tasks"):
        overlapping = len(measured.contamination["tasks"])
        sentences.append(
            f"{overlapping:,} of {measured.contamination.get('of', measured.tasks):,} problems share text with the "
            "training corpus"
        )
    for sentence in sentences:
        letters.setdefault(sentence, mark_letter(len(letters)))
    marks = [mark for sentence, mark in letters.items() if sentence in sentences]
    return OwnFigure(metric, format_metric(metric, name), format_interval(metric, name), " ".join(marks))


def mark_letter(place: int) -> str:
    """``a`` to ``z``, then ``aa``, ``ab`` and so on."""
    before, last = divmod(place, 26)
    return (mark_letter(before - 1) if before else "") + chr(ord("a") + last)


def _marks(cells: Sequence[OwnFigure | None]) -> str:
    """The letters of all cells, each once, in their order."""
    marks = {mark for cell in cells if cell is not None for mark in cell.marks.split()}
    return " ".join(sorted(marks, key=lambda mark: (len(mark), mark)))


def _average(columns: list[PaperColumn], evaluation: Evaluation, marks: str) -> OwnFigure | None:
    """The mean over languages, with a bootstrap over the problems that the languages share.

    Whatever differs in one of them differs in the mean: it has the ``marks`` of all.
    """
    by_language: list[dict[int | None, float]] = []
    for column in columns:
        measured = evaluation.benchmarks[column.benchmark]
        found = scores_of(measured).get(column.metrics[0])
        if found is None:
            return None
        by_language.append(
            {problem_number(key[0]): value for key, value in zip(found.keys, found.values, strict=True)}
        )
    problems = list(dict.fromkeys(problem for scored in by_language for problem in scored))
    values = np.array([[scored.get(problem, np.nan) for problem in problems] for scored in by_language])
    draws = np.random.default_rng(0).integers(len(problems), size=(2000, len(problems)))
    means = [np.nanmean(values[:, draw], axis=1).mean() for draw in draws]
    low, high = np.quantile(means, [0.025, 0.975])
    metric = Metric(float(np.nanmean(values, axis=1).mean()), float(low), float(high), len(problems))
    return OwnFigure(metric, format_metric(metric, "pass@1"), format_interval(metric, "pass@1"), marks)
