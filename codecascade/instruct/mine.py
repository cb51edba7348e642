"""Dialogues without a teacher: functions of the corpus whose doctests pass, as requests and answers.

A stand-in for self-instruct (paper, section 2.5): the questions are docstrings, the solutions and tests are people's,
and the filter is the paper's: what does not run correctly is not kept.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from codecascade.corpus.corpus import Corpus
from codecascade.corpus.documents import Document, content_id, keyed_draw
from codecascade.corpus.reading.licenses import is_permissive
from codecascade.ground.errors import RunFailed
from codecascade.ground.files.atomic import write_json
from codecascade.ground.files.json_lines import JsonlAppender, write_jsonl
from codecascade.ground.files.locks import FolderLock
from codecascade.ground.files.reading import read_json
from codecascade.instruct.exercises import Exercise, exercises_of
from codecascade.instruct.phrasing import request_for
from codecascade.sandbox.sandbox import Sandbox

FORMAT = 1
CPU_SECONDS = 5.0
_AT_ONCE = 32

MiningProgress = Callable[[int, int], None]
"""Called with the exercises tried so far and the dialogues kept of them."""


@dataclass(frozen=True)
class Mined:
    """What a mining brought."""

    path: Path
    """``dialogues.jsonl``: ``messages``, and ``path``, ``repository``, ``license``, ``document`` and ``function``."""
    dialogues: int
    outcomes: dict[str, int]
    """Exercises that were tried, by the sandbox's verdict."""


def mine_dialogues(
    corpus: Corpus,
    sandbox: Sandbox,
    out: Path,
    *,
    limit: int = 1000,
    seed: int = 0,
    progress: MiningProgress | None = None,
) -> Mined:
    """Make ``out/dialogues.jsonl`` of the corpus's training documents.

    Only code under permissive licences or the user's own is used; each answer and each description comes once.
    Functions that need nothing but Python come first, then those that use installed packages; within both groups
    ``seed`` decides.

    Verdicts are written to ``out/verdicts.jsonl`` as they come, so that mining can be stopped and resumed. If it is
    finished already, with the same corpus, limit and seed, nothing is done. The result does not depend on stops.

    Args:
        limit: most dialogues.

    Raises:
        RunFailed: the sandbox could not start, so that what is left would be too few dialogues.
    """
    summary, path = out / "mined.json", out / "dialogues.jsonl"
    request = [FORMAT, corpus.manifest.splits["train"].fingerprint, limit, seed]
    if summary.exists() and (done := read_json(summary))["request"] == request:
        return Mined(path, done["dialogues"], done["outcomes"])
    outcomes: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    with FolderLock(out):
        for found, verdict in try_out(find_exercises(corpus, seed), sandbox, out / "verdicts.jsonl"):
            outcomes[verdict] += 1
            if verdict == "passed":
                rows.append(dialogue_row(*found, seed))
            if progress is not None:
                progress(outcomes.total(), len(rows))
            if len(rows) >= limit:
                break
        if untried := outcomes["not_started"]:
            raise RunFailed(
                f"the examples of {untried:,} of {outcomes.total():,} functions could not be run, for the sandbox "
                "could not start; see that there is memory and that processes may be made, and run the same "
                "command again, which tries these again"
            )
        write_jsonl(path, rows)
        write_json(summary, {"request": request, "dialogues": len(rows), "outcomes": dict(outcomes)})
    return Mined(path, len(rows), dict(outcomes))


FoundExercise = tuple[Document, Exercise]


def find_exercises(corpus: Corpus, seed: int) -> list[FoundExercise]:
    """The corpus's exercises that may be used, each answer and each description once, in the order to try them."""
    found: list[FoundExercise] = []
    for document in corpus.documents("train", "python") if "python" in corpus.languages() else ():
        if is_permissive(document.license):
            found += [(document, exercise) for exercise in exercises_of(document.text)]

    def trial_order(item: FoundExercise) -> tuple[bool, int, str]:
        document, exercise = item
        return bool(exercise.packages), keyed_draw(str(seed), document.id, exercise.name), exercise.answer

    seen: set[str] = set()
    distinct = []
    for document, exercise in sorted(found, key=trial_order):
        contents = {content_id(exercise.answer), content_id(exercise.description)}
        if not contents & seen:
            distinct.append((document, exercise))
        seen |= contents
    return distinct


def try_out(
    found: Iterable[FoundExercise], sandbox: Sandbox, journal: Path
) -> Iterator[tuple[FoundExercise, str]]:
    """Each exercise with the sandbox's verdict, from the journal if it has one."""
    known = _read_journal(journal)
    write_jsonl(journal, [{"program": key, "verdict": verdict} for key, verdict in known.items()])
    waiting = iter(found)
    with JsonlAppender(journal) as notes:
        while batch := list(islice(waiting, _AT_ONCE)):
            programs = {content_id(exercise.program): exercise.program for _, exercise in batch}
            new = [key for key in programs if key not in known]
            outcomes = sandbox.run_many((programs[key] for key in new), timeout=CPU_SECONDS)
            for key, outcome in zip(new, outcomes, strict=True):
                known[key] = outcome.outcome
                notes.write({"program": key, "verdict": outcome.outcome})
            yield from ((item, known[content_id(item[1].program)]) for item in batch)


def _read_journal(path: Path) -> dict[str, str]:
    """Verdicts by program; a last line that was cut off is ignored, and what could not be run is tried again."""
    verdicts: dict[str, str] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").split("\n"):
            with suppress(json.JSONDecodeError):
                row = json.loads(line)
                verdicts[row["program"]] = row["verdict"]
    return {key: verdict for key, verdict in verdicts.items() if verdict not in ("not_started", "killed")}


def dialogue_row(document: Document, exercise: Exercise, seed: int) -> dict[str, Any]:
    """An exercise as a line of ``dialogues.jsonl``."""
    rng = random.Random(keyed_draw(str(seed), document.id, exercise.name))
    return {
        "messages": [
            {"role": "user", "content": request_for(exercise, rng)},
            {"role": "assistant", "content": f"```python\n{exercise.answer}```"},
        ],
        "path": document.path,
        "repository": document.repository,
        "license": document.license,
        "document": document.id,
        "function": exercise.name,
    }
