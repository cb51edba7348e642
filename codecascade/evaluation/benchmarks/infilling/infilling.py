"""Infilling: a part of a function is masked. The model sees what comes before and after, and writes the part again.

``infilling_single_line``, ``infilling_multi_line``, ``infilling_random_span`` and ``infilling_random_span_light``
mask a line, several lines or any span of HumanEval's solutions (Bavarian et al. 2022; paper, Table 14). HumanEval's
tests score them. ``infilling_heldout`` masks a line of functions in held-out documents of the corpus. If a function
has doctests that pass with the original line, they are run too.

``exact_match``, ``pass@1`` and ``ended`` (the share of generations that ended by themselves) are of the layout that
the
settings name: PSM by default, or another layout if the model's family does not have it. ``pass@1_spm`` and
``exact_match_spm`` (or ``_psm``) are of the other layout. SPM has token healing, unless the settings say otherwise.

A model without infilling tokens can't be asked and has none of these figures. It has ``exact_match_left_to_right``
and ``pass@1_left_to_right``, of the line that it writes after the prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.benchmarks.code.humaneval import DATA as HUMANEVAL
from codecascade.evaluation.benchmarks.code.humaneval import parse_problems
from codecascade.evaluation.benchmarks.infilling.problems import (
    InfillingProblem,
    heldout_problems,
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
from codecascade.evaluation.rates import ProblemValues, mean_scores
from codecascade.evaluation.scores import Scores, problem_key
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.statements import BenchmarkProtocol
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import (
    Benchmark,
    EvaluationContext,
    InfillingPrompt,
    Program,
    Prompt,
    ReportedFigure,
    SampleRow,
    Task,
    TextPrompt,
)
from codecascade.generation.editing.stops import EditorLines
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome


def single_line_tasks(context: EvaluationContext) -> list[Task]:
    """The problems of the published file if it is named; else the same problems, made from HumanEval's own data."""
    records = load_records("infilling_single_line", SINGLE_LINE, context.data, {})
    if any("suffix" in row for _, row in records):
        problems = published_problems(records, "SingleLine")
    else:
        problems = single_line_problems(parse_problems(records))
    return infilling_tasks(chosen_problems(problems, context), context)


def heldout_tasks(context: EvaluationContext) -> list[Task]:
    """Problems made from held-out documents of the corpus."""
    name = "infilling_heldout"
    problems = heldout_problems(
        context.needs_corpus(name),
        context.needs_sandbox(name),
        context.own(InfillingTaskSettings),
        context.seed,
    )
    return infilling_tasks(problems, context)


def chosen_problems(
    problems: Sequence[InfillingProblem], context: EvaluationContext
) -> list[InfillingProblem]:
    """The subset of the problems that ``infilling.problems`` asks for."""
    return subset(problems, context.own(InfillingTaskSettings).problems, context.seed)


def infilling_tasks(
    problems: Sequence[InfillingProblem], context: EvaluationContext, *, lines: EditorLines = "single"
) -> list[Task]:
    """Each problem in each layout that is asked. The layout of the main figures comes first.

    Args:
        lines: what an editor would ask for. ``single``: every middle is one line, so a middle that does not end by
            itself can be cut after its first line.
    """
    settings = context.own(InfillingTaskSettings)
    whole_lines = lines == "single"
    formats = asked_layouts(context)
    return [
        Task(
            problem.task_id,
            _prompt(problem, layout, settings, lines),
            settings.max_new_tokens if whole_lines else settings.span_max_new_tokens,
            expected=problem.middle,
            test=problem.test.strip(),
            finish=partial(finished_middle, layout=layout, whole_lines=whole_lines),
            programs=partial(_programs, problem) if problem.test else None,
            judge=partial(_judge, problem.middle),
            fields={"format": layout},
            from_solution=partial(middle_of, prefix=problem.prefix, suffix=problem.suffix),
        )
        for layout in formats
        for problem in problems
    ]


def asked_layouts(context: EvaluationContext) -> list[str]:
    """The layouts that the model knows, the one of the settings first; or only left to right."""
    wanted = context.own(InfillingTaskSettings).format
    if wanted == LEFT_TO_RIGHT or not context.model.infilling_formats:
        return [LEFT_TO_RIGHT]
    return sorted(context.model.infilling_formats, key=lambda layout: layout != wanted)


def _prompt(
    problem: InfillingProblem, layout: str, settings: InfillingTaskSettings, lines: EditorLines
) -> Prompt:
    if layout == LEFT_TO_RIGHT:
        return next_line_prompt(problem.prefix)
    return infilling_prompt(problem.prefix, problem.suffix, layout, settings, lines, "python")


def infilling_prompt(
    prefix: str,
    suffix: str,
    layout: str,
    settings: InfillingTaskSettings,
    lines: EditorLines,
    language: str,
) -> InfillingPrompt:
    """A prompt with the settings' healing and, if they want it so, editor stops."""
    if not settings.editor_stops:
        return InfillingPrompt(prefix, suffix, layout, settings.heal)
    return InfillingPrompt(prefix, suffix, layout, settings.heal, editor_lines=lines, language=language)


def middle_of(solution: str, *, prefix: str, suffix: str) -> str:
    """The middle of a whole text. Raises UserError if the text does not have this prefix and suffix."""
    if len(solution) < len(prefix) + len(suffix) or not (
        solution.startswith(prefix) and solution.endswith(suffix)
    ):
        raise UserError(
            "must begin with the task's prefix and end in its suffix; or give the middle as completion"
        )
    return solution[len(prefix) : len(solution) - len(suffix)]


def next_line_prompt(prefix: str) -> TextPrompt:
    """A prompt for one line after a prefix. If the prefix does not end in a line break, one may come first."""
    return TextPrompt(prefix, ("\n",), stop_after_text=not prefix.endswith("\n"))


def _programs(problem: InfillingProblem, middle: str) -> Sequence[Program]:
    return [problem.program(middle)]


def _judge(expected: str, middle: str, outcomes: Sequence[Outcome]) -> SampleRow:
    return {"exact_match": middle.rstrip() == expected.rstrip()}


def finished_middle(text: str, finish_reason: str, *, layout: str, whole_lines: bool = True) -> str:
    """The text that goes between prefix and suffix.

    Left to right, the line break was the stop string and is added again. A middle of one line that reached the limit
    of tokens is cut after its first line.
    """
    if layout == LEFT_TO_RIGHT:
        return text + "\n" if finish_reason != "context" else text
    if finish_reason == "length" and whole_lines:
        line, newline, _ = text.partition("\n")
        return line + newline
    return text


# ---- scores ---------------------------------------------------------------------------------------------------


def infilling_scores(rows: Iterable[SampleRow]) -> dict[str, Scores]:
    """``exact_match``, ``pass@1`` and ``ended`` of the first layout; ``exact_match_<layout>`` and so on of the
    others.
    """
    layouts: dict[str, dict[str, ProblemValues]] = {}
    for row in rows:
        of_layout = layouts.setdefault(row["format"], {"exact_match": {}, "pass@1": {}, "ended": {}})
        for name, value in zip(
            of_layout, (row["exact_match"], row.get("passed"), row.get("ended")), strict=True
        ):
            if value is not None:
                of_layout[name].setdefault(problem_key(row), []).append(value)
    found: dict[str, Scores] = {}
    for layout, answers in layouts.items():
        first = layout == next(iter(layouts)) and layout != LEFT_TO_RIGHT
        for name, values in answers.items():
            if name == "ended" and not (first and values):
                continue
            found[name if first else f"{name}_{layout}"] = mean_scores(values)
    return found


def infilling_notes(rows: Sequence[SampleRow], context: EvaluationContext) -> list[str]:
    """Which layout the figures are of, and how it was asked."""
    layout, settings = rows[0]["format"], context.own(InfillingTaskSettings)
    if layout == LEFT_TO_RIGHT and settings.format == LEFT_TO_RIGHT:
        return [
            "The model was asked to continue the prefix by one line, the suffix unseen (infilling.format)."
        ]
    if layout == LEFT_TO_RIGHT:
        return [
            "The model has no infilling tokens and can't be asked to infill. The figures named left_to_right are of "
            "what it can do: continue the prefix by one line, the suffix unseen."
        ]
    notes = []
    if layout != "psm":
        notes.append(f"exact_match, pass@1 and ended are of the layout {layout.upper()}.")
    if not settings.heal:
        notes.append("SPM is without token healing.")
    if settings.editor_stops:
        notes.append("Middles end where an editor's completion does (infilling.editor_stops).")
    return notes


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
    data: BenchmarkData | None,
    tasks: Callable[[EvaluationContext], list[Task]],
    *needs: str,
    metric: str = "pass@1",
    task_ids: str = "",
    size: Callable[[CommonSettings], BenchmarkSize],
    columns: tuple[ReportedFigure, ...] = (),
    rank: int = 100,
    examples: bool = False,
    paper_protocol: BenchmarkProtocol | None = None,
) -> Benchmark:
    return Benchmark(
        name,
        title,
        metric,
        data,
        frozenset({"sandbox", *needs}),
        tasks=tasks,
        scores=infilling_scores,
        notes=infilling_notes,
        settings=InfillingTaskSettings,
        size=size,
        columns=columns,
        rank=rank,
        examples=examples,
        paper_protocol=paper_protocol,
        greedy=True,
        task_ids=task_ids,
    )


def _filled(metric: str, title: str) -> Iterator[ReportedFigure]:
    """A metric of the main layout, and of each layout by name."""
    yield ReportedFigure(metric, title)
    for layout in ("psm", "spm"):
        yield ReportedFigure(f"{metric}_{layout}", f"{title}, {layout.upper()}")


def _of_lines(problems: int, settings: CommonSettings) -> BenchmarkSize:
    """A line is estimated to have a quarter of the tokens that it may have."""
    own = settings.own(InfillingTaskSettings)
    return BenchmarkSize(own.problems or problems, 200, own.max_new_tokens // 4, 2)


def _of_spans(problems: int, settings: CommonSettings) -> BenchmarkSize:
    return BenchmarkSize(min(problems, settings.own(InfillingTaskSettings).problems or problems), 250, 80, 2)


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
        "infilling_heldout",
        "Held-out functions: infilling",
        None,
        heldout_tasks,
        "corpus",
        metric="exact_match",
        size=partial(_of_lines, 500),
        columns=(
            *_filled("exact_match", "Held-out lines filled"),
            ReportedFigure("pass@1", "Held-out lines, doctests pass"),
            ReportedFigure("ended", "Fillings that end by themselves"),
        ),
        rank=10,
        examples=True,
    ),
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
