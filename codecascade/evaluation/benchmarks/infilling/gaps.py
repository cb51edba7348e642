"""Gaps to fill: how a model is asked, what became of its middle, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from codecascade.evaluation.benchmarks.infilling.problems import InfillingProblem
from codecascade.evaluation.benchmarks.infilling.settings import InfillingTaskSettings
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.rates import ProblemValues, mean_scores
from codecascade.evaluation.scores import Scores, problem_key
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import (
    EvaluatedModel,
    EvaluationContext,
    InfillingPrompt,
    Program,
    Prompt,
    SampleRow,
    Task,
    TextPrompt,
    unchanged,
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
        lines: what an editor would ask for. ``single``: every middle is one line, so of an answer the first line
            counts (:func:`first_line_of`), in each layout and left to right.
    """
    settings = context.own(InfillingTaskSettings)
    whole_lines = lines == "single"
    by_line = whole_lines and settings.first_line
    to_end = settings.to_end or not by_line
    formats = asked_layouts(context.model, settings.asked)
    suffixes = asked_suffixes([problem.suffix for problem in problems], settings)
    return [
        Task(
            problem.task_id,
            _prompt(problem.prefix, suffix, layout, settings, lines, by_line=by_line),
            settings.max_new_tokens if whole_lines else settings.span_max_new_tokens,
            expected=problem.middle,
            test=problem.test.strip(),
            extract=partial(first_line_of, middle=problem.middle) if by_line else unchanged,
            finish=None if by_line else partial(finished_middle, layout=layout, whole_lines=whole_lines),
            observe=partial(_to_its_end, problem.middle) if layout != LEFT_TO_RIGHT and to_end else None,
            programs=partial(_programs, problem) if problem.test else None,
            judge=partial(_judge, problem.middle),
            fields={"format": layout} if to_end else {"format": layout, "to_end": False},
            from_solution=partial(middle_of, prefix=problem.prefix, suffix=problem.suffix),
        )
        for layout in formats
        for problem, suffix in zip(problems, suffixes, strict=True)
    ]


def asked_suffixes(suffixes: Sequence[str], settings: InfillingTaskSettings) -> Sequence[str]:
    """The suffix that each problem is asked with: its own, or that of the problem half the list away.

    Neighbours are often lines of one function, whose suffixes are nearly the same.
    """
    if settings.suffix == "own":
        return suffixes
    half = len(suffixes) // 2
    return [*suffixes[half:], *suffixes[:half]]


def asked_layouts(model: EvaluatedModel, wanted: Sequence[str], otherwise: int | None = None) -> list[str]:
    """The layouts to ask in, that of the main figures first. A model without infilling tokens is asked left to right.

    A layout that the model's family does not know is not asked. Given samples are of the layouts that their file
    names.

    Args:
        wanted: of a model that knows them all; that of the main figures first.
        otherwise: how many of those that it knows are asked if it knows none of these; None: all.
    """
    known, given = model.infilling_formats, model.left_to_right
    if not known or tuple(wanted) == (LEFT_TO_RIGHT,):
        return [LEFT_TO_RIGHT]
    main_first = sorted(known, key=lambda layout: layout != wanted[0])
    if given is not None:
        return [*main_first, *[LEFT_TO_RIGHT] * given]
    found = [layout for layout in wanted if layout in known] or main_first[:otherwise]
    return [*found, *[LEFT_TO_RIGHT] * (LEFT_TO_RIGHT in wanted)]


def _prompt(
    prefix: str,
    suffix: str,
    layout: str,
    settings: InfillingTaskSettings,
    lines: EditorLines,
    *,
    by_line: bool,
) -> Prompt:
    if layout == LEFT_TO_RIGHT:
        return next_line_prompt(prefix)
    made = infilling_prompt(prefix, suffix, layout, settings, lines, "python")
    return replace(made, stop=("\n",)) if by_line and not settings.to_end else made


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


def first_line_of(text: str, *, middle: str) -> str:
    """What counts of an answer to a masked line: its first line, whatever the layout was and however it ended.

    So a model that sees the suffix and one that continues the prefix are judged alike: what the second writes ends
    with its line break. The line break is the problem's, which has one behind the line or has none.
    """
    line, _, _ = text.partition("\n")
    return line + "\n" if text and middle.endswith("\n") else line


def _to_its_end(expected: str, text: str, finish_reason: str) -> SampleRow:
    """Whether all that was written is right, and the model ended it."""
    return {"exact_to_end": finish_reason != "length" and text.rstrip() == expected.rstrip()}


def finished_middle(text: str, finish_reason: str, *, layout: str, whole_lines: bool = True) -> str:
    """The text that goes between prefix and suffix, where more than the first line counts.

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


_FIELDS = {
    "exact_match": "exact_match",
    "pass@1": "passed",
    "ended": "ended",
    "exact_match_to_end": "exact_to_end",
}
_OF_THE_FIRST = ("ended", "exact_match_to_end")


def infilling_scores(rows: Iterable[SampleRow]) -> dict[str, Scores]:
    """``exact_match`` and ``pass@1`` of the first layout; ``exact_match_<layout>`` and so on of the others.

    Of the first layout also ``ended`` (the model ended its answer) and ``exact_match_to_end`` (and all that it wrote
    is right, not the first line alone). The first layout is never left to right.
    """
    layouts: dict[str, dict[str, ProblemValues]] = {}
    # of which it is not known how the model would have ended
    cut: set[str] = set()
    for row in rows:
        if not row.get("to_end", True):
            cut.add(row["format"])
        of_layout = layouts.setdefault(row["format"], {name: {} for name in _FIELDS})
        for name, value in ((name, row.get(field)) for name, field in _FIELDS.items()):
            if value is not None:
                of_layout[name].setdefault(problem_key(row), []).append(value)
    found: dict[str, Scores] = {}
    main = main_layout(layouts)
    for layout, answers in layouts.items():
        first = layout == main
        for name, values in answers.items():
            if name in _OF_THE_FIRST and not (first and values and layout not in cut):
                continue
            found[name if first else f"{name}_{layout}"] = mean_scores(values)
    return found


def main_layout(layouts: Iterable[str]) -> str | None:
    """The layout of the main figures: the first in which the suffix was seen; None if it was in none."""
    return next((layout for layout in layouts if layout != LEFT_TO_RIGHT), None)


def infilling_notes(rows: Sequence[SampleRow], context: EvaluationContext) -> list[str]:
    """Which layout the figures are of, and how it was asked."""
    settings = context.own(InfillingTaskSettings)
    layout = main_layout(dict.fromkeys(row["format"] for row in rows)) or LEFT_TO_RIGHT
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
    if settings.suffix != "own":
        notes.append("Each problem was asked with the suffix of another one (infilling.suffix).")
    if not settings.first_line:
        notes.append("What the model ended by itself is judged as a whole (infilling.first_line).")
    if not settings.heal:
        notes.append("Infilling prompts are without token healing.")
    if settings.editor_stops:
        notes.append("Middles end where an editor's completion does (infilling.editor_stops).")
    return notes
