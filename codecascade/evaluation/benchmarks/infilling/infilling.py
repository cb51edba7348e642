"""Infilling: a part of a function is masked, and the model writes it again, seeing what comes before and after.

``infilling_single_line``, ``infilling_multi_line``, ``infilling_random_span`` and ``infilling_random_span_light`` are
HumanEval's solutions with a line, several lines or any span masked (Bavarian et al. 2022; paper, Table 14), scored by
HumanEval's tests. ``infilling_heldout`` masks a line of functions in held-out documents of the corpus, and runs
their doctests where they have some that pass with the true line.

``exact_match``, ``pass@1`` and ``ended`` (the share of generations that ended by themselves) are of the layout that
the settings name (PSM by default; another where the family does not know it); ``pass@1_spm``, ``exact_match_spm`` (or
``_psm``) are of the other one. SPM is healed, unless the settings say otherwise. A model without infilling tokens
can't be asked and has none of these figures: ``exact_match_left_to_right`` and ``pass@1_left_to_right`` are of the
line that it writes after the prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

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
from codecascade.evaluation.settings import CommonSettings
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
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome


def single_line_tasks(context: EvaluationContext) -> list[Task]:
    """Of the published file if it is named, else made of HumanEval's own data: the problems are the same."""
    records = load_records("infilling_single_line", SINGLE_LINE, context.data, {})
    if any("suffix" in row for _, row in records):
        problems = published_problems(records, "SingleLine")
    else:
        problems = single_line_problems(parse_problems(records))
    return infilling_tasks(chosen_problems(problems, context), context)


def heldout_tasks(context: EvaluationContext) -> list[Task]:
    """Of the corpus."""
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
    """The subset that ``infilling.problems`` asks for."""
    return subset(problems, context.own(InfillingTaskSettings).problems, context.seed)


def infilling_tasks(
    problems: Sequence[InfillingProblem], context: EvaluationContext, *, whole_lines: bool = True
) -> list[Task]:
    """Each problem in each layout that the model knows, the one that figures are of first.

    Args:
        whole_lines: a middle is one line, so that one which does not end by itself can be cut after it.
    """
    settings = context.own(InfillingTaskSettings)
    known = context.model.infilling_formats or (LEFT_TO_RIGHT,)
    formats = sorted(known, key=lambda layout: layout != settings.format)
    return [
        Task(
            problem.task_id,
            _prompt(problem, layout, settings),
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


def _prompt(problem: InfillingProblem, layout: str, settings: InfillingTaskSettings) -> Prompt:
    if layout == LEFT_TO_RIGHT:
        return next_line_prompt(problem.prefix)
    return InfillingPrompt(problem.prefix, problem.suffix, layout, settings.heal)


def middle_of(solution: str, *, prefix: str, suffix: str) -> str:
    """The middle in a whole text. Raises UserError if the text is not prefix, middle and suffix."""
    if len(solution) < len(prefix) + len(suffix) or not (
        solution.startswith(prefix) and solution.endswith(suffix)
    ):
        raise UserError(
            "must begin with the task's prefix and end in its suffix; or give the middle as completion"
        )
    return solution[len(prefix) : len(solution) - len(suffix)]


def next_line_prompt(prefix: str) -> TextPrompt:
    """One line after a prefix. What ends inside a line, or before its end, may go on with a line break first."""
    return TextPrompt(prefix, ("\n",), stop_after_text=not prefix.endswith("\n"))


def _programs(problem: InfillingProblem, middle: str) -> Sequence[Program]:
    return [problem.program(middle)]


def _judge(expected: str, middle: str, outcomes: Sequence[Outcome]) -> SampleRow:
    return {"exact_match": middle.rstrip() == expected.rstrip()}


def finished_middle(text: str, finish_reason: str, *, layout: str, whole_lines: bool = True) -> str:
    """The text that goes between prefix and suffix.

    Left to right the line's end was the stop; a filling of one line that never ended is cut there (``ended`` counts
    those that did end).
    """
    if layout == LEFT_TO_RIGHT:
        return text + "\n" if finish_reason != "context" else text
    if finish_reason == "length" and whole_lines:
        line, newline, _ = text.partition("\n")
        return line + newline
    return text


# ---- scores ---------------------------------------------------------------------------------------------------


def infilling_scores(rows: Iterable[SampleRow]) -> dict[str, Scores]:
    """Of the first layout, and ``exact_match_<layout>``, ``pass@1_<layout>`` of the others."""
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
    """What the figures are of."""
    layout = rows[0]["format"]
    if layout == LEFT_TO_RIGHT:
        return [
            "The model has no infilling tokens and can't be asked to infill. The figures named left_to_right are of "
            "what it can do: continue the prefix by one line, the suffix unseen."
        ]
    notes = []
    if layout != "psm":
        notes.append(f"exact_match, pass@1 and ended are of the layout {layout.upper()}.")
    if not context.own(InfillingTaskSettings).heal:
        notes.append("SPM is without token healing.")
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
    return infilling_tasks(chosen_problems(problems, context), context, whole_lines=False)


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
    """Of the layout that figures are of, and of the other."""
    yield ReportedFigure(metric, title)
    for layout in ("psm", "spm"):
        yield ReportedFigure(f"{metric}_{layout}", f"{title}, {layout.upper()}")


def _of_lines(problems: int, settings: CommonSettings) -> BenchmarkSize:
    """A line has a quarter of the tokens that it may have, about."""
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
