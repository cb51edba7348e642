"""How a gap is asked: the layouts, what of the file the model sees, and where its answer ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from codecascade.corpus.code.gaps import GapKind
from codecascade.corpus.code.windows import FileWindows
from codecascade.corpus.neighbours import Neighbours
from codecascade.evaluation.benchmarks.heldout.problems import HeldoutProblem
from codecascade.evaluation.benchmarks.heldout.settings import HeldoutSettings
from codecascade.evaluation.benchmarks.heldout.ways import written_ways
from codecascade.evaluation.benchmarks.infilling.gaps import asked_layouts
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.task import EvaluatedModel, InfillingPrompt, Prompt, ReferenceTokens, TextPrompt
from codecascade.generation.backend import RepositoryContext
from codecascade.generation.editing.prompt import repository_ids
from codecascade.generation.editing.stops import EditorLines, EditorStops
from codecascade.tokens.infilling import infilling_prompt
from codecascade.tokens.tokenizer import Tokenizer

_CONTROL_TOKENS = 8
"""Room for the tokens that mark the parts of a prompt."""
_LINES: dict[str, EditorLines] = {
    "line": "single",
    "rest": "single",
    "block": "block",
    "function": "block",
    "span": "any",
}
"""What an editor asks for that wants a middle of this kind."""


@dataclass(frozen=True)
class AskedGap:
    """A gap, with as much of its file as fits into the prompt. Every layout sees the same part.

    Attributes:
        stops: where an answer ends, in every layout.
        room: tokens of a prompt, with the parts of other files.
        repository: parts of other files, if some are shown.
    """

    problem: HeldoutProblem
    prefix: str
    suffix: str
    stops: EditorStops
    room: int
    repository: RepositoryContext | None = None

    def prompt(self, layout: str, settings: HeldoutSettings) -> Prompt:
        """The prompt in a layout. Left to right the suffix is unseen."""
        if layout == LEFT_TO_RIGHT:
            # Such an answer has no end of its own, so that no more is generated than the stops leave.
            return TextPrompt(
                self.prefix, heal=settings.heal, editor_stops=self.stops, repository=self.repository
            )
        return InfillingPrompt(
            self.prefix,
            self.suffix,
            layout,
            settings.heal,
            editor_lines=None if settings.unstopped else self.stops.lines,
            language=self.stops.language,
            repository=self.repository,
        )

    def references(
        self, layout: str, settings: HeldoutSettings
    ) -> Callable[[Tokenizer], list[ReferenceTokens]]:
        """The true middle behind the prompt, in each way to write and to end it, in ids."""
        return partial(_references, self, layout, settings.heal)


def asked_gaps(
    problems: Sequence[HeldoutProblem],
    model: EvaluatedModel,
    settings: HeldoutSettings,
    neighbours: Neighbours | None = None,
) -> Iterator[AskedGap]:
    """Each problem with its part of the file, within the tokens of the settings and of the model's context.

    Args:
        neighbours: other files, of which parts get their share of the room.
    """
    share = 0.0 if neighbours is None else settings.neighbour_share
    context = min(settings.context_tokens, model.context_length or settings.context_tokens)
    room = {kind: _room(kind, settings, context, share) for kind in settings.kinds}
    others = _other_suffixes(problems) if settings.suffix == "shuffled" else None
    for _, of_file in groupby(problems, key=lambda problem: problem.document.id):
        windows: FileWindows | None = None
        for problem in of_file:
            document, gap = problem.document, problem.gap
            windows = windows or FileWindows(document.text, model.counter_of(document.text))
            prefix, suffix = windows.around(gap.start, gap.end, room[gap.kind], settings.prefix_share)
            if others is not None:
                suffix = _of_length(others[problem.task_id], suffix, model)
            stops = EditorStops(prefix, suffix, document.language, _LINES[gap.kind])
            around: RepositoryContext | None = None
            if neighbours is not None:
                chunks = neighbours.of(document, document.text[: gap.start])
                around = RepositoryContext(context, document.path, document.repository, chunks, share)
            yield AskedGap(
                problem, prefix, suffix, stops, context - _answer(gap.kind, settings, context), around
            )


def _answer(kind: GapKind, settings: HeldoutSettings, context: int) -> int:
    """Tokens that are kept for an answer."""
    return min(settings.most_tokens(kind), context // 2)


def _room(kind: GapKind, settings: HeldoutSettings, context: int, share: float) -> int:
    """Tokens of prefix and suffix together, where other files get their ``share``."""
    return max(1, int((context - _answer(kind, settings, context) - _CONTROL_TOKENS) * (1 - share)))


def _other_suffixes(problems: Sequence[HeldoutProblem]) -> dict[str, str]:
    """For each problem, by its id, what stands behind the gap of another file, half the list away.

    Problems of one file stand together in the list. Of a single file each gap gets the text behind another one.
    """
    half, count = len(problems) // 2, len(problems)
    of_several = any(each.document.id != problems[0].document.id for each in problems)
    found: dict[str, str] = {}
    for index, problem in enumerate(problems):
        other = problems[(index + half) % count]
        places = ((index + half + further) % count for further in range(count if of_several else 0))
        others = (problems[at] for at in places if problems[at].document.id != problem.document.id)
        found[problem.task_id] = next(others, other).suffix
    return found


def _of_length(text: str, like: str, model: EvaluatedModel) -> str:
    """The beginning of a text, of as many characters as ``like`` at most and of no more tokens."""
    count = model.counter_of(text)
    part, most = text[: len(like)], count(like)
    while part and (tokens := count(part)) > most:
        part = part[: min(len(part) - 1, len(part) * most // tokens)]
    return part


def heldout_layouts(model: EvaluatedModel, settings: HeldoutSettings) -> list[str]:
    """The layouts to ask in; the first one that the model knows, if it knows none of the settings'."""
    known = model.infilling_formats
    if not known or settings.format == LEFT_TO_RIGHT:
        return [LEFT_TO_RIGHT]
    main = ("spm" if "spm" in known else known[0]) if settings.format == "editor" else settings.format
    return asked_layouts(model, tuple(dict.fromkeys((main, *settings.layouts))), otherwise=1)


def _references(gap: AskedGap, layout: str, heal: bool, tokenizer: Tokenizer) -> list[ReferenceTokens]:
    problem = gap.problem
    alone = written_ways(
        tokenizer,
        gap.prefix,
        problem.middle,
        gap.suffix,
        problem.suffix,
        layout,
        of_one_line=gap.stops.lines == "single",
        heal=heal,
    )
    if gap.repository is None:
        return alone
    if layout == LEFT_TO_RIGHT:
        # There is a token before the text in any case.
        begin, own = 1, len(tokenizer.encode(gap.prefix, bos=True))
    else:
        begin = len(tokenizer.bos())
        own = len(infilling_prompt(tokenizer, gap.prefix, gap.suffix, format=layout))
    others = repository_ids(tokenizer, gap.repository.prompt(gap.prefix, gap.suffix), own, gap.room)
    return [
        replace(way, ids=(*way.ids[:begin], *others, *way.ids[begin:]), first=way.first + len(others))
        for way in alone
    ]
