"""The figures of ``infilling_heldout``: over all gaps, by kind and by language, in each layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from codecascade.corpus.code.gaps import GAP_KINDS
from codecascade.corpus.code.grammars import NOT_INSTALLED, without_grammar
from codecascade.evaluation.benchmarks.heldout.settings import HeldoutSettings
from codecascade.evaluation.benchmarks.infilling.gaps import main_layout
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.rates import mean_scores, ratio_scores, values_by_problem
from codecascade.evaluation.scores import Scores, problem_key
from codecascade.evaluation.task import EvaluationContext, SampleRow
from codecascade.ground.format import listed

_SHARES = {
    "exact_match": "exact_match",
    "edit_similarity": "edit_similarity",
    "first_line": "first_line",
    "parses": "parses",
}
"""The metrics that every group has, and the fields of the rows that they are of."""
_UNSTOPPED = {"exact_match_unstopped": "exact_unstopped", "ended": "ended"}
_FEWEST = 20
"""Gaps in a language, of which it has figures of its own."""


def heldout_scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """The figures of the main layout; those of the others end in its name (``exact_match_left_to_right``).

    The main layout is the first in which the suffix was seen. A model that can't infill has figures left to right
    only. ``answer_nats_per_byte`` is the loss of the true middles with what ends them, whichever tokens write it (see
    ``ways.py``). ``middle_nats_per_byte`` is that of the middles alone, by the tokens that write them without what
    follows. Both mean the same in each layout and left to right. ``end_nats`` is the loss of the token that ends an
    infilling.
    """
    by_layout: dict[str, list[SampleRow]] = {}
    for row in rows:
        by_layout.setdefault(row["format"], []).append(row)
    main = main_layout(by_layout)
    found: dict[str, Scores] = {}
    for layout, of_layout in by_layout.items():
        ending = "" if layout == main else f"_{layout}"
        for group, some in _groups(of_layout):
            for metric, scores in _figures(some, everything=not group, infilled=layout != LEFT_TO_RIGHT):
                # Of a line the first line is all.
                if metric != "first_line" or group not in ("_line", "_rest"):
                    found[f"{metric}{group}{ending}"] = scores
    return found


def _groups(rows: Sequence[SampleRow]) -> Iterator[tuple[str, Sequence[SampleRow]]]:
    """``(ending of names, rows)``: all, those of each kind, and those of each language if there are several.

    Rows of older versions have neither.
    """
    yield "", rows
    for kind in GAP_KINDS:
        if some := [row for row in rows if row.get("kind") == kind]:
            yield f"_{kind}", some
    languages = Counter(row["language"] for row in rows if "language" in row)
    if len(languages) > 1:
        for language, count in languages.most_common():
            if count >= _FEWEST:
                yield (
                    f"_{language.replace(' ', '_')}",
                    [row for row in rows if row.get("language") == language],
                )


def _figures(rows: Sequence[SampleRow], *, everything: bool, infilled: bool) -> Iterator[tuple[str, Scores]]:
    fields = {**_SHARES, **_UNSTOPPED} if everything and infilled else _SHARES
    if not any("exact_unstopped" in row for row in rows):
        # The answers were cut by editor stops: whether a model would have ended them is not known.
        fields = _SHARES
    values = values_by_problem(rows, *fields.values())
    for metric, field in fields.items():
        if values[field]:
            yield metric, mean_scores(values[field])
    if answered := [row for row in rows if row.get("answer_nats") is not None]:
        yield "answer_nats_per_byte", ratio_scores(answered, "answer_nats", "bytes")
    # Of an infilling whose end is not known apart, the loss is of something else.
    needed = ("reference_nats", "end_nats") if infilled else ("reference_nats",)
    if scored := [row for row in rows if all(row.get(name) is not None for name in needed)]:
        middles = [{**row, "nats": row["reference_nats"] - (row.get("end_nats") or 0.0)} for row in scored]
        yield "middle_nats_per_byte", ratio_scores(middles, "nats", "bytes")
        ends = [row for row in scored if row.get("end_nats") is not None]
        if everything and infilled and ends:
            yield (
                "end_nats",
                Scores(
                    tuple(map(problem_key, ends)),
                    np.array([row["end_nats"] for row in ends], np.float64),
                    np.ones(len(ends)),
                    bounds=None,
                ),
            )


def heldout_notes(rows: Sequence[SampleRow], context: EvaluationContext) -> list[str]:
    """What was asked and how, and what could not be."""
    settings = context.own(HeldoutSettings)
    layouts = list(dict.fromkeys(row["format"] for row in rows))
    main = main_layout(layouts)
    asked = {row["task_id"]: row for row in rows}
    kinds = Counter(row["kind"] for row in asked.values())
    counts = listed([f"{kinds[kind]} {_IN_WORDS[kind]}" for kind in GAP_KINDS if kinds[kind]])
    files = len({task_id.partition("/")[0] for task_id in asked})
    notes = [
        f"{len(asked):,} gaps in {files:,} held-out {'file' if files == 1 else 'files'} ({counts}), with up to "
        f"{settings.context_tokens:,} tokens of the file; answers end by this tool's editor stops."
    ]
    if main is None and settings.format == LEFT_TO_RIGHT:
        notes.append(
            "The model was asked to continue the prefix, the suffix unseen (infilling_heldout.format)."
        )
    elif main is None:
        notes.append(
            "The model has no infilling tokens and can't be asked to infill. The figures named left_to_right are of "
            "what it can do: continue the prefix, the suffix unseen."
        )
    else:
        notes.append(f"The figures without a layout's name are of {main.upper()}.")
    if settings.neighbour_share:
        which = {
            "similar": "the most similar one next to the file",
            "imported": "those of imported files next to the file",
        }
        notes.append(
            f"Up to {settings.neighbour_share:.0%} of the context are parts of other files of the repository "
            f"({which[settings.neighbours]}), also of files that a stage was trained on."
        )
    if settings.suffix != "own" and main is not None:
        other = "a gap of another file" if files > 1 else "another gap of the file"
        notes.append(f"Each gap was asked with the text behind {other} (infilling_heldout.suffix).")
    if not settings.heal:
        notes.append("Prompts are without token healing.")
    if unparsed := without_grammar(row["language"] for row in asked.values()):
        notes.append(
            f"Of {listed(unparsed)} only lines and spans were asked, and whether a file parses is not known: "
            f"{NOT_INSTALLED}."
        )
    wanted = context.settings.most_problems(settings.problems)
    if wanted is not None and len(asked) < wanted:
        notes.append(
            f"{wanted:,} gaps were wanted, and the held-out files have no more than {len(asked):,}: the "
            "intervals are wider for it."
        )
    return notes


_IN_WORDS = {
    "line": "lines",
    "rest": "rests of lines",
    "block": "blocks",
    "function": "bodies of functions",
    "span": "spans",
}
