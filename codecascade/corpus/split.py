"""Hold-out: which documents are never trained on.

Whole repositories go, because files of one repository resemble each other: a model that trained on one has
half seen the other. A corpus of a single repository is split by file, the best that it allows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from codecascade.corpus.documents import Document, keyed, size_of


@dataclass
class Sizes:
    """Bytes by repository and by path, added up while documents pass by.

    Code decides: text counts only where a corpus has no code, so that what is held out has functions to be
    measured on.
    """

    total: int = 0
    code: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(``repository`` or ``path``, its name) -> bytes of code."""
    all: Counter[tuple[str, str]] = field(default_factory=Counter)

    def measured(self, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            size = size_of(document)
            self.total += size
            for by, name in (("repository", document.repository), ("path", document.path)):
                self.all[by, name] += size
                if document.kind == "code":
                    self.code[by, name] += size
            yield document


@dataclass(frozen=True)
class Split:
    """Which groups of documents are held out."""

    by: Literal["repository", "path"]
    groups: frozenset[str]

    def holds_out(self, document: Document) -> bool:
        return (document.repository if self.by == "repository" else document.path) in self.groups


def choose_heldout(sizes: Sizes, share: float) -> Split:
    """Groups of about ``share`` of the bytes, the same ones for the same corpus."""
    sums = sizes.code or sizes.all
    by: Literal["repository", "path"]
    by = "repository" if sum(kind == "repository" for kind, _ in sums) > 1 else "path"
    return Split(by, held_out({name: size for (kind, name), size in sums.items() if kind == by}, share))


def held_out(sizes: Mapping[str, int], share: float) -> frozenset[str]:
    """Groups in the order of a hash, each taken if it still fits into ``share`` of the bytes.

    Where that leaves less than half of it, one larger group is added if the sum comes nearer (in proportion):
    two groups or more always leave one held out that is worth measuring; one group is never held out.

    >>> sorted(held_out({"a": 2_000, "b": 90_000, "c": 5}, 0.01))
    ['a', 'c']
    """
    sizes = {name: size for name, size in sizes.items() if size}
    if share == 0 or len(sizes) < 2:
        return frozenset()
    target = share * sum(sizes.values())
    chosen: set[str] = set()
    taken = 0
    for name in sorted(sizes, key=lambda name: (keyed("held out", name), name)):
        if taken + sizes[name] <= target:
            chosen.add(name)
            taken += sizes[name]
    rest = sizes.keys() - chosen
    if taken < target / 2 and rest:

        def distance(size: int) -> float:
            return abs(math.log(size / target)) if size else math.inf

        nearest = min(rest, key=lambda name: (distance(taken + sizes[name]), name))
        if distance(taken + sizes[nearest]) < distance(taken) and len(rest) > 1:
            chosen.add(nearest)
    return frozenset(chosen)
