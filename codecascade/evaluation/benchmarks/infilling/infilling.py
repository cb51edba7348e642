"""Infilling: a part of a function is masked. The model sees what comes before and after, and writes the part again.

``infilling_single_line``, ``infilling_multi_line``, ``infilling_random_span`` and ``infilling_random_span_light``
mask a line, several lines or any span of HumanEval's solutions (Bavarian et al. 2022; paper, Table 14). HumanEval's
tests score them.

``exact_match``, ``pass@1`` and ``ended`` (the share of generations that ended by themselves) are of the layout that
the settings name: PSM by default, or another layout if the model's family does not have it. ``pass@1_spm`` and
``exact_match_spm`` (or ``_psm``) are of the other layout. Prompts have token healing, unless the settings say
otherwise.

``exact_match_left_to_right`` and ``pass@1_left_to_right`` are of the line that a model writes after the prefix. A
model without infilling tokens has these alone; another one is asked if ``infilling.layouts`` says so. Of an answer to
a masked line the first line counts in all of them, so that they can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.benchmarks.code.humaneval import DATA as HUMANEVAL
from codecascade.evaluation.benchmarks.code.humaneval import parse_problems
from codecascade.evaluation.benchmarks.infilling.gaps import (
    chosen_problems,
    infilling_notes,
    infilling_scores,
    infilling_tasks,
)
from codecascade.evaluation.benchmarks.infilling.problems import (
    published_problems,
    single_line_problems,
)
from codecascade.evaluation.benchmarks.infilling.settings import (
    STATED_OF_LINES,
    STATED_OF_SPANS,
    InfillingTaskSettings,
)
from codecascade.evaluation.data import BenchmarkData, load_records
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.statements import BenchmarkProtocol
from codecascade.evaluation.task import (
    Benchmark,
    EvaluationContext,
    ReportedFigure,
    Task,
)
from codecascade.generation.editing.stops import EditorLines


def single_line_tasks(context: EvaluationContext) -> list[Task]:
    """The problems of the published file if it is named; else the same problems, made from HumanEval's own data."""
    records = load_records("infilling_single_line", SINGLE_LINE, context.data, {})
    if any("suffix" in row for _, row in records):
        problems = published_problems(records, "SingleLine")
    else:
        problems = single_line_problems(parse_problems(records))
    return infilling_tasks(chosen_problems(problems, context), context)


def _published(kind: str) -> BenchmarkData:
    return BenchmarkData(
        files=(f"HumanEval-{kind}.jsonl*",),
        licence="MIT",
        hub="loubnabnl/humaneval_infilling",
        hub_files=(f"*HumanEval-{kind}[./]*",),
    )


def _published_tasks(kind: str, name: str, data: BenchmarkData, context: EvaluationContext) -> list[Task]:
    problems = published_problems(load_records(name, data, context.data, {}), kind)
    lines: EditorLines = "any" if kind.startswith("RandomSpan") else "block"
    return infilling_tasks(chosen_problems(problems, context), context, lines=lines)


def _benchmark(
    name: str,
    title: str,
    data: BenchmarkData,
    tasks: Callable[[EvaluationContext], list[Task]],
    *,
    metric: str = "pass@1",
    task_ids: str = "",
    size: Callable[[CommonSettings], BenchmarkSize],
    columns: tuple[ReportedFigure, ...] = (),
    rank: int = 100,
    examples: bool = False,
    paper_protocol: BenchmarkProtocol | None = None,
    by_one_rule: tuple[str, ...] = (),
) -> Benchmark:
    return Benchmark(
        name,
        title,
        metric,
        data,
        frozenset({"sandbox"}),
        tasks=tasks,
        scores=infilling_scores,
        notes=infilling_notes,
        settings=InfillingTaskSettings,
        size=size,
        columns=columns,
        rank=rank,
        examples=examples,
        paper_protocol=paper_protocol,
        by_one_rule=by_one_rule,
        greedy=True,
        task_ids=task_ids,
        version=3,
    )


def _filled(metric: str, title: str) -> Iterator[ReportedFigure]:
    """A metric of the main layout, of each layout by name, and left to right."""
    yield ReportedFigure(metric, title)
    for layout in ("psm", "spm"):
        yield ReportedFigure(f"{metric}_{layout}", f"{title}, {layout.upper()}")
    yield ReportedFigure(f"{metric}_{LEFT_TO_RIGHT}", f"{title}, left to right")


def _of_lines(problems: int, settings: CommonSettings) -> BenchmarkSize:
    """A line is estimated to have a quarter of the tokens that it may have, and what a model adds another quarter."""
    own = settings.own(InfillingTaskSettings)
    answer = own.max_new_tokens // (2 if own.to_end else 4)
    return BenchmarkSize(own.problems or problems, 220, answer, len(own.asked))


def _of_spans(problems: int, settings: CommonSettings) -> BenchmarkSize:
    own = settings.own(InfillingTaskSettings)
    return BenchmarkSize(min(problems, own.problems or problems), 250, 80, len(own.asked))


SINGLE_LINE = replace(HUMANEVAL, files=(*_published("SingleLineInfilling").files, *HUMANEVAL.files))
_PUBLISHED = {
    "infilling_multi_line": (
        "HumanEval: multi-line infilling",
        "MultiLineInfilling",
        "MultiLine",
        5_815,
        "HumanEval, several lines, tests pass",
    ),
    "infilling_random_span": (
        "HumanEval: random-span infilling",
        "RandomSpanInfilling",
        "RandomSpan",
        1_640,
        "HumanEval, random spans, tests pass",
    ),
    "infilling_random_span_light": (
        "HumanEval: random-span infilling, light",
        "RandomSpanInfillingLight",
        "RandomSpan",
        164,
        "",
    ),
}
BENCHMARKS = (
    _benchmark(
        "infilling_single_line",
        "HumanEval: single-line infilling",
        SINGLE_LINE,
        single_line_tasks,
        metric="exact_match",
        task_ids="SingleLineInfilling/",
        size=partial(_of_lines, 1033),
        columns=(
            *_filled("exact_match", "HumanEval lines filled"),
            *_filled("pass@1", "HumanEval lines, tests pass"),
        ),
        rank=20,
        paper_protocol=STATED_OF_LINES,
        by_one_rule=("exact_match", "pass@1"),
        examples=True,
    ),
    *(
        _benchmark(
            name,
            title,
            _published(file),
            partial(_published_tasks, kind, name, _published(file)),
            task_ids=f"{kind}Infilling/",
            size=partial(_of_spans, problems),
            columns=tuple(_filled("pass@1", shown)) if shown else (),
            rank=rank,
            paper_protocol=STATED_OF_SPANS if shown else None,
        )
        for rank, (name, (title, file, kind, problems, shown)) in enumerate(_PUBLISHED.items(), 30)
    ),
)
