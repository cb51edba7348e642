"""Problems from held-out documents: which files they are drawn from, and how many of each kind."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codecascade.corpus.code.gaps import WEIGHTS, Gap, GapDrawer, GapKind
from codecascade.corpus.documents import Document
from codecascade.evaluation.benchmarks.heldout.settings import HeldoutSettings
from codecascade.ground.seeds import generator

_FILES = 4
"""Files that are looked at, for each problem that is wanted."""
_AROUND = 200
"""Characters on each side of a gap; where they are alike, it is the same gap."""
_MANY = 1_000_000
"""Problems, where all that there are are wanted."""


@dataclass(frozen=True)
class HeldoutProblem:
    """A gap in a held-out document.

    Attributes:
        is_parsed: whether the document parses, as far as there is a parser for its language.
    """

    document: Document
    gap: Gap
    is_parsed: bool = False

    @property
    def line(self) -> int:
        """The number of the line in which the gap begins, from 1."""
        return self.document.text.count("\n", 0, self.gap.start) + 1

    @property
    def task_id(self) -> str:
        column = self.gap.start - self.document.text.rfind("\n", 0, self.gap.start)
        return f"{self.document.id}/{self.gap.kind}/{self.line}:{column}-{self.gap.end - self.gap.start}"

    @property
    def prefix(self) -> str:
        return self.document.text[: self.gap.start]

    @property
    def middle(self) -> str:
        return self.document.text[self.gap.start : self.gap.end]

    @property
    def suffix(self) -> str:
        return self.document.text[self.gap.end :]


def heldout_problems(
    documents: Sequence[Document], settings: HeldoutSettings, seed: int
) -> list[HeldoutProblem]:
    """``settings.problems`` gaps, chosen by the seed. Those of a file stand together, from its beginning to its end.

    The files take turns. In each round every file gives one gap, of the kind that is furthest behind its share
    (:data:`WEIGHTS`) among those that the file has. A file gives no more gaps than it has lines of code, and no more
    than twice the even share, so that a large file does not make up the figures.
    """
    wanted = math.inf if settings.problems is None else settings.problems
    found: dict[str, list[HeldoutProblem]] = {}
    counts: Counter[GapKind] = Counter()

    seen: set[str] = set()

    def take(document: Document, drawer: GapDrawer) -> bool:
        gap = _next_gap(drawer, settings.kinds, counts, seen)
        if gap is not None:
            counts[gap.kind] += 1
            found.setdefault(document.id, []).append(HeldoutProblem(document, gap, drawer.is_parsed))
        return gap is not None

    waiting: list[tuple[Document, GapDrawer]] = []
    for document, drawer in _drawers(documents, settings, seed):
        if counts.total() >= wanted:
            break
        if take(document, drawer):
            waiting.append((document, drawer))
    most = wanted if len(waiting) < 2 else 2 * math.ceil(min(wanted, _MANY) / len(waiting))
    while waiting and counts.total() < wanted:
        still = []
        for document, drawer in waiting:
            if counts.total() >= wanted:
                break
            if len(found[document.id]) < min(len(drawer.lines), most) and take(document, drawer):
                still.append((document, drawer))
        waiting = still
    return [
        problem for of_file in found.values() for problem in sorted(of_file, key=lambda each: each.gap.start)
    ]


def _drawers(
    documents: Sequence[Document], settings: HeldoutSettings, seed: int
) -> Iterator[tuple[Document, GapDrawer]]:
    """The files with code, in the order of their turns."""
    indices = list(range(len(documents)))
    random.Random(seed).shuffle(indices)
    if settings.problems is not None:
        indices = indices[: _FILES * settings.problems]
    for index in indices:
        document = documents[index]
        drawer = GapDrawer(
            document.text,
            document.language,
            document.path,
            generator(seed, document.id),
            most_characters=settings.max_characters,
        )
        if drawer.lines:
            yield document, drawer


def _next_gap(
    drawer: GapDrawer, kinds: Sequence[GapKind], counts: Counter[GapKind], seen: set[str]
) -> Gap | None:
    """A gap of the kind that is furthest behind its share, among those that the file still has.

    A gap with the same text around it, as in a function that two files have, counts once.
    """
    for kind in sorted(kinds, key=lambda each: (counts[each] + 1) / WEIGHTS[each]):
        while (gap := drawer.draw(kind)) is not None:
            shown = drawer.text[max(0, gap.start - _AROUND) : gap.end + _AROUND]
            if (text := f"{kind} {gap.end - gap.start} {shown}") not in seen:
                seen.add(text)
                return gap
    return None
