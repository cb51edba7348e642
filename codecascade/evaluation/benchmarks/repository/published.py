"""What the published benchmarks of repository completion share: how a line is asked, and the figures.

CrossCodeEval and RepoBench come with parts of other files that their authors retrieved. Each line is asked

- with these parts in the text that the authors made of them (``published``);
- with the same parts as an editor sends them, in the layout of the model's family (``files``);
- with the one part that the line needs, where the benchmark tells which it is (``gold``);
- with nothing of other files (``none``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from pydantic import Field, field_validator

from codecascade.evaluation.benchmark_settings import BenchmarkSettings, CommonSettings, PositiveInt
from codecascade.evaluation.benchmarks.infilling.gaps import asked_layouts
from codecascade.evaluation.benchmarks.repository.judging import METRICS, judge
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.rates import mean_scores, rows_by_field, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import TokenEstimate
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import (
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
from codecascade.sandbox.outcome import Outcome
from codecascade.tokens.repository import RepositoryChunk

Shown = Literal["published", "files", "gold", "none"]
_MARGIN = 16
"""Tokens of a prompt that are kept free: those of two texts are not always those of the two together."""


class PublishedSettings(BenchmarkSettings):
    """What the benchmarks' settings have in common. Each benchmark has a class of its own, with its defaults."""

    problems: PositiveInt | None = Field(500, description="lines that are completed, at most; none: all")
    contexts: tuple[Shown, ...] = Field(
        ("published", "none"),
        min_length=1,
        description="published: parts of other files come first, in the text that the authors made of them; files: "
        "the same parts as an editor sends them, in the layout of the model's family; gold: the part that the line "
        "needs, if the benchmark names it; none: nothing",
    )
    context_tokens: int = Field(2048, ge=128, description="tokens of the prompt and the answer, at most")
    others_share: float = Field(
        0.25, gt=0, lt=1, description="of these tokens, what parts of other files get at most"
    )
    heal: bool = Field(True, description="the prefix may end inside a token (token healing)")
    max_new_tokens: PositiveInt = Field(64, description="tokens per line, at most")

    @field_validator("contexts")
    @classmethod
    def _each_once(cls, values: tuple[Shown, ...]) -> tuple[Shown, ...]:
        return tuple(dict.fromkeys(values))


@dataclass(frozen=True)
class PublishedLine:
    """A line that is to be completed.

    Attributes:
        prefix: the file up to the cursor.
        expected: the true rest of the line or of the statement.
        suffix: the file behind it; None where the benchmark does not have it, so that nothing can be filled in.
        chunks: parts of other files, the most important one last.
        texts: of ``published`` and ``gold``, what comes before the prefix; it is cut at its end where it is too long.
        group: a part of the benchmark that has figures of its own; empty for none.
    """

    task_id: str
    language: str
    repository: str
    path: str
    prefix: str
    expected: str
    suffix: str | None = None
    chunks: tuple[RepositoryChunk, ...] = ()
    texts: Mapping[Shown, str] = field(default_factory=dict)
    group: str = ""

    def can_be_shown(self, shown: Shown) -> bool:
        """Whether it has what a context shows."""
        return shown == "none" or bool(self.chunks if shown == "files" else self.texts.get(shown))


def published_tasks(
    lines: Sequence[PublishedLine],
    context: EvaluationContext,
    settings: PublishedSettings,
    answer_of: Callable[[PublishedLine, str], str],
    judged: Callable[[str, str, str, Sequence[Outcome]], SampleRow] | None = None,
) -> list[Task]:
    """Each line in each layout, with each context that it has. A line without other files has ``none`` alone.

    Args:
        answer_of: what counts of what the model wrote after a line's prefix.
        judged: from the true line, the language and what counts, the fields of a row; None: :func:`judge`.

    Raises:
        UserError: no line has what the first context shows, or two lines have one id.
    """
    _refuse_twins(lines, context, settings)
    if not any(line.can_be_shown(settings.contexts[0]) for line in lines):
        raise UserError(
            f"no line has what contexts = {settings.contexts[0]} shows; name the file that has parts of other files, "
            'or ask without them (contexts = ["none"])',
            key=settings.key,
        )
    chosen = subset(lines, context.settings.most_problems(settings.problems), context.seed)
    infills = all(line.suffix is not None for line in chosen)
    wanted = (*context.model.infilling_formats[:1], LEFT_TO_RIGHT) if infills else (LEFT_TO_RIGHT,)
    return [
        Task(
            line.task_id,
            _prompt(line, layout, shown, context, settings),
            settings.max_new_tokens,
            expected=line.expected,
            extract=partial(answer_of, line),
            judge=partial(judged or judge, line.expected, line.language),
            fields={
                "format": f"{layout}_{shown}",
                "layout": layout,
                "files": shown,
                "language": line.language,
                **({"group": line.group} if line.group else {}),
            },
        )
        for layout in asked_layouts(context.model, wanted)
        for shown in settings.contexts
        for line in chosen
        if line.can_be_shown(shown)
    ]


def _refuse_twins(
    lines: Sequence[PublishedLine], context: EvaluationContext, settings: PublishedSettings
) -> None:
    """Lines of one id would count as several answers to one question."""
    seen: set[str] = set()
    for line in lines:
        if line.task_id in seen:
            raise UserError(
                f"two lines are called {line.task_id}: the data is there twice, or in two versions; name one of its "
                "files, or a folder with each once",
                file=context.data,
                key=settings.key,
            )
        seen.add(line.task_id)


def _prompt(
    line: PublishedLine,
    layout: str,
    shown: Shown,
    context: EvaluationContext,
    settings: PublishedSettings,
) -> Prompt:
    most = min(settings.context_tokens, context.model.context_length or settings.context_tokens)
    room = max(1, most - min(settings.max_new_tokens, most // 2) - _MARGIN)
    suffix = "" if layout == LEFT_TO_RIGHT else line.suffix or ""
    if shown == "files":
        repository = RepositoryContext(most, line.path, line.repository, line.chunks, settings.others_share)
        if layout == LEFT_TO_RIGHT:
            return TextPrompt(line.prefix, heal=settings.heal, repository=repository)
        return InfillingPrompt(line.prefix, suffix, layout, settings.heal, repository=repository)
    count = context.model.counter_of(line.prefix)
    others = _beginning(line.texts.get(shown, ""), int(most * settings.others_share), count)
    prefix, suffix = fit_around_cursor(EditorPrompt(line.prefix, suffix), max(1, room - count(others)), count)
    if layout == LEFT_TO_RIGHT:
        return TextPrompt(others + prefix, heal=settings.heal)
    return InfillingPrompt(others + prefix, suffix, layout, settings.heal)


def _beginning(text: str, most: int, count: Callable[[str], int]) -> str:
    """The longest beginning of a text, about, that has at most so many tokens."""
    while text and (tokens := count(text)) > most:
        # A little more than in proportion, so that few rounds are needed.
        text = text[: int(0.99 * len(text) * most / tokens)]
    return text


def published_scores(rows: Sequence[SampleRow], metrics: Sequence[str] = METRICS) -> dict[str, Scores]:
    """The means with the published context (``exact_match``; if it was not asked, with the first that was), in the
    others (``exact_match_none``), by language and by group (``exact_match_java``, ``exact_match_cross_file_first``).

    They are of the infilling form, if the lines were asked in it; those left to right end in ``_left_to_right``.
    """
    found: dict[str, Scores] = {}
    layouts = rows_by_field(rows, "layout")
    for layout, of_layout in layouts.items():
        ending = f"_{LEFT_TO_RIGHT}" if layout == LEFT_TO_RIGHT else ""
        contexts = rows_by_field(of_layout, "files")
        main = "published" if "published" in contexts else next(iter(contexts))
        for shown, some in contexts.items():
            middle = "" if shown == main else f"_{shown}"
            for part, of_part in _parts(some):
                values = values_by_problem(of_part, *metrics)
                for metric in metrics:
                    found[f"{metric}{part}{middle}{ending}"] = mean_scores(values[metric])
    return found


def _parts(rows: Sequence[SampleRow]) -> list[tuple[str, Sequence[SampleRow]]]:
    parts: list[tuple[str, Sequence[SampleRow]]] = [("", rows)]
    for name in ("language", "group"):
        values = rows_by_field([row for row in rows if row.get(name)], name)
        if len(values) > 1:
            parts += [(f"_{value}", some) for value, some in values.items()]
    return parts


def published_notes(rows: Sequence[SampleRow], settings: PublishedSettings) -> list[str]:
    """How many lines were asked, and with how much around them."""
    asked = len({row["task_id"] for row in rows})
    shown = " and ".join(dict.fromkeys(str(row["files"]) for row in rows))
    return [
        f"{asked:,} lines, with {settings.context_tokens:,} tokens of context, of which other files get "
        f"{settings.others_share:.0%} at most; asked with: {shown}."
    ]


def published_size(
    problems: int, settings: CommonSettings, own: type[PublishedSettings], layouts: int
) -> TokenEstimate:
    """Prompts are estimated to be three quarters as long as they may be.

    Args:
        problems: how many the whole set has.
    """
    chosen = settings.own(own)
    asked = (
        min(problems, settings.most_problems(chosen.problems) or problems) * len(chosen.contexts) * layouts
    )
    return TokenEstimate(asked * chosen.context_tokens * 3 // 4, asked * chosen.max_new_tokens // 2)
