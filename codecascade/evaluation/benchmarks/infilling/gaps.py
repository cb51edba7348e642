"""Gaps to fill: how a model is asked, what became of its middle, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from codecascade.evaluation.benchmarks.infilling.problems import (
    InfillingProblem,
)
from codecascade.evaluation.benchmarks.infilling.settings import (
    InfillingTaskSettings,
)
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.rates import ProblemValues, mean_scores
from codecascade.evaluation.scores import Scores, problem_key
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import (
    EvaluationContext,
    InfillingPrompt,
    Program,
    Prompt,
    SampleRow,
    Task,
    TextPrompt,
)
from codecascade.generation.editing.stops import EditorLines
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome


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
