"""``infilling_heldout``: gaps in held-out files of the corpus, asked as an editor asks.

The model sees the file before and after the gap, as much as fits. Gaps are drawn from all lines of code, of five
kinds: a whole line, the rest of a line behind a cursor, a block, the body of a function, any span. Each is asked in
the layout that this tool asks editors' gaps in, and left to right; every answer ends by the same editor stops.

``exact_match``, ``edit_similarity``, ``first_line``, ``parses`` (the file with the answer in it) and
``answer_nats_per_byte`` (the loss of the true middle and its end) are of the main layout, over all kinds;
``exact_match_line`` and so on are of one kind, and ``exact_match_python`` of one language. ``exact_match_unstopped``
is of what the model wrote without editor stops, and ``ended`` says how often it ended that by itself. Names that end
in ``_left_to_right`` are of the same gaps, asked without the suffix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from codecascade.corpus.code.gaps import GAP_KINDS, WEIGHTS
from codecascade.corpus.code.structure import parses
from codecascade.corpus.corpus import Corpus
from codecascade.corpus.neighbours import NeighbourChoice, Neighbours
from codecascade.evaluation.answers.similarity import edit_similarity
from codecascade.evaluation.answers.texts import first_line
from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.benchmarks.heldout.asking import AskedGap, asked_gaps, heldout_layouts
from codecascade.evaluation.benchmarks.heldout.figures import heldout_notes, heldout_scores
from codecascade.evaluation.benchmarks.heldout.problems import heldout_problems
from codecascade.evaluation.benchmarks.heldout.settings import HeldoutSettings
from codecascade.evaluation.benchmarks.infilling.gaps import middle_of
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.task import (
    Benchmark,
    EvaluationContext,
    ReportedFigure,
    SampleRow,
    Task,
    UseFigure,
)
from codecascade.generation.editor_stops import EditorStopper
from codecascade.sandbox.outcome import Outcome

NAME = "infilling_heldout"
_FILLED = 0.7
"""How much of the context a prompt fills, on average: many files are shorter than the context."""
_WRITTEN = 0.6
"""How much of the tokens that an answer may have is written, on average."""
_STOPPED = 0.3
"""The same of an answer that editor stops end."""


def tasks(context: EvaluationContext) -> list[Task]:
    """Each gap in each layout that is asked. The layout of the main figures comes first."""
    settings = context.own(HeldoutSettings)
    corpus = context.needs_corpus(NAME)
    # No more are drawn than are asked: each of them holds a part of its file.
    wanted = settings.model_copy(update={"problems": context.settings.most_problems(settings.problems)})
    problems = heldout_problems(corpus.documents("heldout", "code"), wanted, context.seed)
    neighbours = _neighbours(corpus, settings.neighbours) if settings.neighbour_share else None
    gaps = list(asked_gaps(problems, context.model, settings, neighbours))
    return [
        _task(gap, layout, settings) for layout in heldout_layouts(context.model, settings) for gap in gaps
    ]


def _neighbours(corpus: Corpus, choice: NeighbourChoice) -> Neighbours:
    """Of held-out files also those that models are trained on, as they are where somebody edits their own code."""
    return Neighbours([corpus.documents(split, "code") for split in ("heldout", "train")], choice)


def _task(gap: AskedGap, layout: str, settings: HeldoutSettings) -> Task:
    problem = gap.problem
    unstopped = layout != LEFT_TO_RIGHT and settings.unstopped
    return Task(
        problem.task_id,
        gap.prompt(layout, settings),
        settings.most_tokens(problem.gap.kind),
        expected=problem.middle,
        # Where the engine has cut the answer, it is not cut once more.
        finish=partial(_stopped, gap) if unstopped else _as_it_is,
        observe=partial(_unstopped, problem.middle) if unstopped else None,
        judge=partial(_judge, gap),
        fields={
            "format": layout,
            "kind": problem.gap.kind,
            "language": problem.document.language,
            "path": problem.document.path,
            "line": problem.line,
        },
        from_solution=partial(middle_of, prefix=problem.prefix, suffix=problem.suffix),
        references=gap.references(layout, settings),
    )


def _as_it_is(text: str, finish_reason: str) -> str:
    return text


def _stopped(gap: AskedGap, text: str, finish_reason: str) -> str:
    """The answer as an editor shows it."""
    stopper = EditorStopper(gap.stops)
    return stopper.push(text) + stopper.finish()


def _unstopped(middle: str, text: str, finish_reason: str) -> SampleRow:
    """Whether all that the model wrote is right, and the model ended it."""
    return {"exact_unstopped": finish_reason == "stop" and text.rstrip() == middle.rstrip()}


def _judge(gap: AskedGap, completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
    problem = gap.problem
    middle = problem.middle
    answer = completion.rstrip()
    return {
        "exact_match": answer == middle.rstrip(),
        "edit_similarity": edit_similarity(answer.strip(), middle.strip()),
        "first_line": first_line(answer).rstrip() == first_line(middle).rstrip(),
        "parses": _parses(gap, completion),
        "bytes": len(middle.encode(errors="surrogatepass")),
    }


def _parses(gap: AskedGap, completion: str) -> bool | None:
    """Whether the whole file parses with the answer in it; None if it did not before, or can't be parsed here."""
    problem, document = gap.problem, gap.problem.document
    if not problem.is_parsed:
        return None
    return parses(problem.prefix + completion + problem.suffix, document.language, document.path)


def _size(settings: CommonSettings) -> BenchmarkSize:
    """Every prompt is read once: the true middle is scored behind it. Left to right it has no suffix."""
    own = settings.own(HeldoutSettings)
    prompt = int(_FILLED * min(own.context_tokens, 1 << 20))
    alone = own.format == LEFT_TO_RIGHT
    after = alone or LEFT_TO_RIGHT in own.layouts
    layouts = 0 if alone else len({own.format, *own.layouts} - {LEFT_TO_RIGHT})
    read = prompt * layouts + int(prompt * own.prefix_share) * after
    share = sum(WEIGHTS[kind] for kind in own.kinds)
    written = sum(WEIGHTS[kind] * own.most_tokens(kind) for kind in own.kinds) / share
    infilled = layouts * (_WRITTEN if own.unstopped else _STOPPED)
    return BenchmarkSize(own.problems or 1000, read, int(written * (infilled + _STOPPED * after)))


_ALIKE = (
    "exact_match",
    "edit_similarity",
    "first_line",
    "parses",
    "answer_nats_per_byte",
    "middle_nats_per_byte",
)
_BY_ONE_RULE = tuple(
    name for metric in _ALIKE for name in (metric, *(f"{metric}_{kind}" for kind in GAP_KINDS))
)


def _figures() -> Iterator[ReportedFigure]:
    yield ReportedFigure(
        "answer_nats_per_byte",
        "Held-out gaps, nats per byte of the true answer",
        higher_is_better=False,
        leads=True,
        in_nats=True,
    )
    yield ReportedFigure("exact_match", "Held-out gaps filled")
    for layout, name in (("psm", "PSM"), ("spm", "SPM"), (LEFT_TO_RIGHT, "left to right")):
        yield ReportedFigure(f"exact_match_{layout}", f"Held-out gaps filled, {name}")
    yield ReportedFigure("exact_match_line", "Held-out lines filled")
    yield ReportedFigure("edit_similarity", "Held-out gaps, edit similarity")
    yield ReportedFigure("first_line", "Held-out gaps, first line right")
    yield ReportedFigure("ended", "Fillings that end by themselves")


BENCHMARKS = (
    Benchmark(
        NAME,
        "Held-out code: gaps as an editor asks",
        "exact_match",
        needs=frozenset({"corpus"}),
        tasks=tasks,
        scores=heldout_scores,
        notes=heldout_notes,
        settings=HeldoutSettings,
        size=_size,
        columns=tuple(_figures()),
        plain_metrics=("answer_nats_per_byte", "middle_nats_per_byte", "end_nats"),
        rank=10,
        examples=True,
        tells_use=(
            UseFigure("exact_match_line", "exactly filled lines", "lines", "fills in {} exactly"),
            UseFigure("exact_match", "exactly filled gaps", "gaps", "fills in {} exactly"),
            UseFigure(
                "answer_nats_per_byte",
                "nats per byte of the true answer",
                "gaps",
                "needs {} nats per byte of the true answer",
                higher_is_better=False,
                sensitive=True,
                is_loss=True,
            ),
        ),
        by_one_rule=_BY_ONE_RULE,
        greedy=True,
        shows_trained=lambda used: bool(used[f"{HeldoutSettings.key}.neighbour_share"]),
        task_ids=r"[0-9a-f]{32}/(line|rest|block|function|span)/",
        version=3,
    ),
)
