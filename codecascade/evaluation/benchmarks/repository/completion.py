"""``repository_completion``: the end of a line that uses what another file of the repository defines.

In the manner of RepoBench (Liu et al. 2023) and CrossCodeEval (Ding et al. 2023), but made of the user's own
repositories: held-out files of a corpus, or the files of a folder. A problem is the first use of an imported name,
and what is asked for is the rest of its line from the name on.

Each problem is asked with nothing of other files (``none``), with the definitions that its file imports
(``imported``; of a module, those that it uses elsewhere), with parts of the repository that resemble the lines before
the cursor (``similar``), and with what another problem's file imports (``wrong``), which shows how much of a gain is
of more text alone. In each the model sees the same part of the cursor's own file. Every answer is judged by its first
line, in infilling and left to right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from codecascade.corpus.imports import READ_WITH
from codecascade.evaluation.answers.texts import first_line
from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.benchmarks.infilling.gaps import asked_layouts
from codecascade.evaluation.benchmarks.repository.files import (
    Repository,
    corpus_repositories,
    counted_files,
    folder_repositories,
)
from codecascade.evaluation.benchmarks.repository.judging import METRICS, judge
from codecascade.evaluation.benchmarks.repository.problems import (
    RepositoryProblem,
    repository_problems,
)
from codecascade.evaluation.benchmarks.repository.settings import (
    FILE_CONTEXTS,
    FileContext,
    RepositorySettings,
)
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.rates import mean_scores, rows_by_field, values_by_problem
from codecascade.evaluation.scores import ProblemKey, Scores
from codecascade.evaluation.size import TokenEstimate
from codecascade.evaluation.task import (
    Benchmark,
    EvaluationContext,
    InfillingPrompt,
    Prompt,
    SampleRow,
    Task,
    TextPrompt,
)
from codecascade.generation.backend import RepositoryContext
from codecascade.generation.editing.prompt import EditorPrompt, fit_around_cursor
from codecascade.ground.errors import UserError
from codecascade.ground.format import listed

NAME = "repository_completion"
_CHARACTERS = 3
"""Of a token of code, about; rather too few, so that the file's part fits."""


def tasks(context: EvaluationContext) -> list[Task]:
    """Each problem in each layout, with each context.

    Raises:
        UserError: no line of the files uses what another file defines; the sentence says what was looked at.
    """
    settings = context.own(RepositorySettings)
    repositories = (
        corpus_repositories(context.needs_corpus(NAME))
        if context.data is None
        else folder_repositories(context.data)
    )
    wanted = settings.model_copy(update={"problems": context.settings.most_problems(settings.problems)})
    problems = repository_problems(repositories, wanted, context.seed)
    if not problems:
        raise UserError(_why_none(repositories, settings), key=NAME)
    return [
        _task(problem, layout, shown, context)
        for layout in _layouts(context, settings)
        for shown in settings.contexts
        for problem in problems
        if shown in problem.chunks
    ]


def _layouts(context: EvaluationContext, settings: RepositorySettings) -> list[str]:
    """The first layout that the model knows, and left to right; of given samples those that their file names."""
    wanted = (*context.model.infilling_formats[:1], *[LEFT_TO_RIGHT] * settings.left_to_right)
    return asked_layouts(context.model, wanted)


def _task(problem: RepositoryProblem, layout: str, shown: FileContext, context: EvaluationContext) -> Task:
    settings = context.own(RepositorySettings)
    return Task(
        problem.task_id,
        _prompt(problem, layout, shown, context),
        settings.max_new_tokens,
        expected=problem.middle,
        extract=first_line,
        judge=partial(judge, problem.middle, problem.language),
        fields={
            "format": f"{layout}_{shown}",
            "layout": layout,
            "files": shown,
            "language": problem.language,
        },
    )


def _prompt(
    problem: RepositoryProblem, layout: str, shown: FileContext, context: EvaluationContext
) -> Prompt:
    settings = context.own(RepositorySettings)
    most = min(settings.context_tokens, context.model.context_length or settings.context_tokens)
    answer = min(settings.max_new_tokens, most // 2)
    room = int(_CHARACTERS * (most - answer) * settings.file_share)
    repository = RepositoryContext(
        most, problem.path, problem.repository, problem.chunks[shown], 1 - settings.file_share
    )
    seen = EditorPrompt(problem.prefix, "" if layout == LEFT_TO_RIGHT else problem.suffix)
    prefix, suffix = fit_around_cursor(seen, room, len)
    if layout == LEFT_TO_RIGHT:
        return TextPrompt(prefix, ("\n",), settings.heal, repository=repository)
    return InfillingPrompt(prefix, suffix, layout, settings.heal, ("\n",), repository=repository)


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """The means of :data:`METRICS` with the imported definitions (``exact_match``) and in the other contexts
    (``exact_match_none``), and the mean difference to ``none`` on the same problems (``exact_match_gain``).

    All of them are of the infilling form; those of the other end in ``_left_to_right``.
    """
    found: dict[str, Scores] = {}
    for layout, of_layout in rows_by_field(rows, "layout").items():
        ending = f"_{LEFT_TO_RIGHT}" if layout == LEFT_TO_RIGHT else ""
        by_context = {
            shown: values_by_problem(some, *METRICS)
            for shown, some in rows_by_field(of_layout, "files").items()
        }
        for metric in METRICS:
            for shown in FILE_CONTEXTS:
                if shown in by_context:
                    name = metric if shown == "imported" else f"{metric}_{shown}"
                    found[name + ending] = mean_scores(by_context[shown][metric])
        for metric in METRICS[:2]:
            for shown in FILE_CONTEXTS:
                if shown != "none" and shown in by_context and "none" in by_context:
                    name = f"{metric}_gain" if shown == "imported" else f"{metric}_gain_{shown}"
                    found[name + ending] = _gain(by_context["none"][metric], by_context[shown][metric])
    return found


def _gain(without: Mapping[ProblemKey, list[float]], with_files: Mapping[ProblemKey, list[float]]) -> Scores:
    """The differences of the problems that were asked in both contexts. The keys are of the second."""
    before = {task_id: values for (task_id, _), values in without.items()}
    paired = [
        (key, np.mean(values) - np.mean(before[key[0]]))
        for key, values in with_files.items()
        if key[0] in before
    ]
    return Scores(
        tuple(key for key, _ in paired), np.array([value for _, value in paired], np.float64), bounds=(-1, 1)
    )


def notes(rows: Sequence[SampleRow], context: EvaluationContext) -> list[str]:
    """How many lines were asked, of what, and what was not."""
    settings = context.own(RepositorySettings)
    asked = {row["task_id"] for row in rows}
    files = {task_id.rsplit(":", 3)[0] for task_id in asked}
    found = [
        f"{len(asked)} lines of {len(files)} {'file' if len(files) == 1 else 'files'}; exact_match and the others "
        "without a context's name are with the definitions that the file imports."
    ]
    wanted = context.settings.most_problems(settings.problems)
    if wanted is not None and len(asked) < wanted:
        found.append(f"The files have no more such lines than these {len(asked)}, of {wanted} wanted.")
    uncontrolled = len(asked) - len({row["task_id"] for row in rows if row["files"] == "wrong"})
    if "wrong" in settings.contexts and uncontrolled:
        found.append(
            f"{uncontrolled} of {len(asked)} lines have no control, because no other file imports from other files "
            "than theirs does."
        )
    return found


def _why_none(repositories: Sequence[Repository], settings: RepositorySettings) -> str:
    counted = counted_files(repositories)
    if not counted:
        return f"there are no files in {listed([*READ_WITH])} to take lines from"
    counts = listed([f"{count} {language}" for language, count in counted.items()])
    single = " A single file can't use another one." if sum(counted.values()) == 1 else ""
    return (
        f"none of the files ({counts}) uses a name of another file of its repository with "
        f"{settings.min_characters} to {settings.max_characters} characters to the end of the line.{single}"
    )


def _size(settings: CommonSettings) -> TokenEstimate:
    """Prompts are estimated to be three quarters as long as they may be."""
    own = settings.own(RepositorySettings)
    asked = (settings.most_problems(own.problems) or 500) * len(own.contexts)
    asked *= 1 + own.left_to_right
    return TokenEstimate(asked * own.context_tokens * 3 // 4, asked * 16)


BENCHMARKS = (
    Benchmark(
        NAME,
        "Repository completion: lines that use other files",
        "exact_match",
        needs=frozenset({"files"}),
        tasks=tasks,
        scores=scores,
        notes=notes,
        greedy=True,
        by_one_rule=METRICS,
        settings=RepositorySettings,
        size=_size,
        shows_trained=lambda used: True,
        kept_out="never",
        version=3,
    ),
)
