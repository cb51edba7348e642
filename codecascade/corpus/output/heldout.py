"""Hold-out: chooses the documents that are never trained on.

Whole repositories are held out, because the files of one repository resemble each other: a model that was trained
on one file has half seen the others. A corpus of a single repository is split by file, and so is one of a few
repositories of which whole ones would be much more than was to be held out, and any whose settings ask for it:
languages that only a few repositories have are then on both sides. Near-duplicates have left before, so that
no held-out file has a twin among the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from codecascade.corpus.documents import keyed_draw

_FEW = 3
"""Repositories, of a corpus that may be split by file."""
_FAR = 4
"""How many times the share whole repositories may be at most, where there are few."""


@dataclass(frozen=True)
class HeldoutSplit:
    """Which repositories, or which paths, are held out."""

    by: Literal["repository", "path"]
    groups: frozenset[str]

    def is_heldout(self, repository: pa.ChunkedArray, path: pa.ChunkedArray) -> NDArray[np.bool_]:
        """(n,) whether each document is held out."""
        column = repository if self.by == "repository" else path
        if not len(column):
            return np.empty(0, bool)
        return np.asarray(pc.is_in(column, value_set=pa.array(sorted(self.groups), pa.string())))


def choose_heldout(documents: pa.Table, share: float, by: Literal["path"] | None = None) -> HeldoutSplit:
    """Choose repositories, or files, with about ``share`` of the bytes; the same ones for the same corpus.

    Only code is counted, so that the held-out part contains functions to evaluate on. Text is counted only in a
    corpus without code.

    Args:
        documents: a table with ``repository``, ``path``, ``kind`` and ``bytes``.
        share: of the bytes.
        by: ``path``: files, however many repositories there are; those of equal paths together.
    """
    code = documents.filter(pc.equal(documents["kind"], "code"))
    counted = code if len(code) else documents
    sizes = _sizes(counted, "repository")
    if len(sizes) > 1 and by is None:
        groups = choose_groups(sizes, share)
        taken = sum(sizes[name] for name in groups)
        if len(sizes) > _FEW or taken <= _FAR * share * sum(sizes.values()):
            return HeldoutSplit("repository", groups)
    return HeldoutSplit("path", choose_groups(_sizes(counted, "path"), share))


def _sizes(documents: pa.Table, by: Literal["repository", "path"]) -> dict[str, int]:
    """The bytes of each repository, or of the files of each path."""
    sums = documents.group_by(by, use_threads=False).aggregate([("bytes", "sum")])
    return dict(zip(sums[by].to_pylist(), sums["bytes_sum"].to_pylist(), strict=True))


def choose_groups(sizes: Mapping[str, int], share: float) -> frozenset[str]:
    """Choose names whose sizes add up to about ``share`` of the total.

    The names are visited in the order of a hash, and each is chosen that keeps the sum within the target. If less
    than half of the target is reached then, one more name is added, provided that the sum comes nearer to the target,
    by ratio. So at least one of several names is usually chosen. A single name is never chosen.

    >>> sorted(choose_groups({"a": 2_000, "b": 90_000, "c": 5}, 0.01))
    ['a', 'c']
    """
    sizes = {name: size for name, size in sizes.items() if size}
    if share == 0 or len(sizes) < 2:
        return frozenset()
    target = share * sum(sizes.values())
    chosen: set[str] = set()
    taken = 0
    for name in sorted(sizes, key=lambda name: (keyed_draw("held out", name), name)):
        if taken + sizes[name] <= target:
            chosen.add(name)
            taken += sizes[name]
    rest = sizes.keys() - chosen
    if taken < target / 2 and rest:

        def distance(size: int) -> float:
            return abs(math.log(size / target)) if size else math.inf

        nearest = min(rest, key=lambda name: (distance(taken + sizes[name]), name))
        # One name always stays for training.
        if distance(taken + sizes[nearest]) < distance(taken) and len(rest) > 1:
            chosen.add(nearest)
    return frozenset(chosen)
