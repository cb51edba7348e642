"""A model's figures in the paper's tables: its own row above the paper's, with remarks on all that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from codecascade.evaluation.analysis.evaluation_folder import Evaluation, MeasuredBenchmark
from codecascade.evaluation.analysis.paper import TABLES
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.analysis.protocol import PaperColumn, PaperTable, belongs, remarks
from codecascade.evaluation.benchmarks.code.multipl_e import problem_number
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.notation import format_interval, format_metric, is_plain
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.statements import departures


@dataclass(frozen=True)
class OwnFigure:
    """One of the model's own figures.

    Attributes:
        marks: the letters of its remarks, separated by spaces.
        is_plain: it is a plain number (a sentiment), not a percentage.
    """

    metric: Metric
    text: str
    interval: str
    marks: str = ""
    is_plain: bool = False


@dataclass(frozen=True)
class PaperComparison:
    """The columns of a table of the paper in which the model was measured.

    Attributes:
        groups: headings over several columns, each with its number of columns.
        titles: the heading of each column.
        own: the model's row; None for a column in which it has no figure.
        rows: the paper's models, each with its value in every column, in percent.
        remarks: the sentence of each letter.
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
    def in_percent(self) -> bool:
        """Whether any figure is a percentage."""
        return any(figure is not None and not figure.is_plain for figure in self.own)

    @property
    def labels(self) -> tuple[str, ...]:
        """The full names of the columns (``HumanEval pass@1``)."""
        groups = [group for group, span in self.groups for _ in range(span)]
        return tuple(
            group if title in ("", group) else f"{group} {title}"
            for group, title in zip(groups, self.titles, strict=True)
        )


def paper_comparisons(evaluation: Evaluation) -> list[PaperComparison]:
    """One comparison for each of the paper's tables in which the evaluation has a figure."""
    return [found for table in TABLES if (found := _compared(table, evaluation)) is not None]


def _compared(table: PaperTable, evaluation: Evaluation) -> PaperComparison | None:
    figures = evaluation.figures
    comparable = {column: _comparable(column, evaluation) for column in table.columns}
    measured = [column for column, names in comparable.items() if names]
    found = {column: column.find({name: figures[name] for name in comparable[column]}) for column in measured}
    if not any(found.values()) or not _says_more(table, measured):
        return None
    indices = [index for index, column in enumerate(table.columns) if column in found or not column.benchmark]
    columns = [table.columns[index] for index in indices]
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
        indices.append(len(table.columns))
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
        tuple((row.model, tuple(row.values[index] for index in indices)) for row in table.rows),
        {letter: sentence for sentence, letter in letters.items()},
    )


def _comparable(column: PaperColumn, evaluation: Evaluation) -> list[str]:
    """The benchmarks whose figures may stand in the column, the column's own benchmark first."""
    return [
        name
        for name in (column.benchmark, column.instead)
        if (measured := evaluation.benchmarks.get(name)) is not None
        and belongs(column.protocol, measured.settings)
    ]


def _says_more(table: PaperTable, columns: list[PaperColumn]) -> bool:
    """Whether a column is in no earlier table, or has a protocol of its own."""
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
        facts = {"version": measured.version, **measured.settings, **measured.conditions}
        sentences += departures(stated, facts)
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
    return OwnFigure(
        metric, format_metric(metric, name), format_interval(metric, name), " ".join(marks), is_plain(name)
    )


def mark_letter(index: int) -> str:
    """The letter of the remark with this index: ``a`` to ``z``, then ``aa``, ``ab`` and so on."""
    before, last = divmod(index, 26)
    return (mark_letter(before - 1) if before else "") + chr(ord("a") + last)


def _marks(cells: Sequence[OwnFigure | None]) -> str:
    """The letters of all cells, each once, in alphabetical order (``z`` before ``aa``)."""
    marks = {mark for cell in cells if cell is not None for mark in cell.marks.split()}
    return " ".join(sorted(marks, key=lambda mark: (len(mark), mark)))


def _average(columns: list[PaperColumn], evaluation: Evaluation, marks: str) -> OwnFigure | None:
    """The mean over languages, with an interval over the problems that all of them share.

    It is as wide as that of the shared problems' mean, about the mean of all; without a shared problem there is none.
    The average has the ``marks`` of all languages: what differs in one of them differs in the mean.
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
    mean = float(np.mean([np.mean([*scored.values()]) for scored in by_language]))
    metric = Metric(mean, mean, mean, len(set.union(*(set(scored) for scored in by_language))))
    if shared := [problem for problem in by_language[0] if all(problem in scored for scored in by_language)]:
        means = np.array([[scored[problem] for problem in shared] for scored in by_language]).mean(0)
        around = Scores(tuple((str(problem), "") for problem in shared), means - means.mean() + mean).metric(
            0
        )
        metric = Metric(mean, max(0.0, around.low), min(1.0, around.high), len(shared))
    return OwnFigure(metric, format_metric(metric, "pass@1"), format_interval(metric, "pass@1"), marks)
