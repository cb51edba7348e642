"""The removal rule: in the order of rank, an item is removed if a kept item is near enough; else it is kept.

Items are compared only with kept ones, so a cluster of 50,000 copies costs 50,000 comparisons. Most deduplicators
take the union of overlapping pairs instead: that chains together texts with little in common, and removes texts
although no similar one is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codecascade.corpus.steps.near.shingles import Hashes, Positions
from codecascade.corpus.steps.near.signatures import SignatureBytes

log = logging.getLogger(__name__)

MOST_LEADERS = 100
"""Most kept items of one bucket that an item is compared with. Many texts of one template, all below the threshold,
would take quadratic time otherwise."""

_ESTIMATE_BELOW = 0.2
"""Margin of the estimate: with 252 bytes it is within six standard deviations of the similarity."""


class Buckets(NamedTuple):
    """Which items may be near-duplicates: those that share a bucket."""

    offsets: Positions
    """(n + 1,): item i is in the buckets ``numbers[offsets[i]:offsets[i + 1]]``."""
    numbers: Positions


class Removal(NamedTuple):
    """An item that is removed, and the most similar kept one."""

    item: int
    kept: int
    similarity: float


def buckets(keys: Iterable[Hashes], items: Iterable[Positions], count: int) -> Buckets:
    """Buckets of ``count`` items, from columns of keys and the items they belong to; keys of one item only are
    dropped."""
    members, numbers, used = [], [], 0
    for column, owners in zip(keys, items, strict=True):
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        begins = np.ones(len(ordered), bool)
        np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
        number = np.cumsum(begins) - 1
        shared = np.bincount(number, minlength=1)[number] > 1 if len(number) else begins
        members.append(owners[order[shared]])
        numbers.append(number[shared] + used)
        used += len(column)
    member = np.concatenate([np.empty(0, np.int64), *members])
    number = np.concatenate([np.empty(0, np.int64), *numbers])
    order = np.argsort(member, kind="stable")
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(member, minlength=count), out=offsets[1:])
    return Buckets(offsets, number[order])


def find_removals(
    table: Buckets,
    shingles: Callable[[int], Hashes],
    sizes: NDArray[np.int64],
    threshold: float,
    *,
    marks: SignatureBytes | None = None,
    most_leaders: int | None = MOST_LEADERS,
) -> Iterator[Removal]:
    """The items that are removed, in order.

    Args:
        table: the buckets of the items; items are in order of rank, best first.
        shingles: gives the distinct shingles of an item.
        sizes: (n,) the number of shingles of each item.
        marks: (n, bins) signature bytes; pairs whose estimated similarity is far below the threshold aren't compared.
        most_leaders: most kept items of a bucket to compare with, the best ones; None: all.
    """
    stayed: dict[int, list[int]] = {}
    crowded: set[int] = set()
    for item in np.flatnonzero(np.diff(table.offsets)).tolist():
        mine = table.numbers[table.offsets[item] : table.offsets[item + 1]].tolist()
        near: set[int] = set()
        for bucket in mine:
            near.update(stayed.get(bucket, ()))
        if near and (kept := _nearest(item, near, shingles, sizes, threshold, marks)):
            yield kept
            continue
        for bucket in mine:
            leaders = stayed.setdefault(bucket, [])
            if most_leaders is None or len(leaders) < most_leaders:
                leaders.append(item)
            else:
                crowded.add(bucket)
    if crowded:
        log.info("%d buckets of more than %d unlike texts were looked at in part", len(crowded), most_leaders)


def _nearest(
    item: int,
    near: set[int],
    shingles: Callable[[int], Hashes],
    sizes: NDArray[np.int64],
    threshold: float,
    marks: SignatureBytes | None,
) -> Removal | None:
    others = np.array(sorted(near))
    size = sizes[item]
    smaller, larger = np.minimum(sizes[others], size), np.maximum(sizes[others], size)
    others = others[smaller >= threshold * larger]
    if marks is not None and len(others):
        agreeing = np.count_nonzero(marks[others] == marks[item], axis=1)
        others = others[agreeing >= (threshold - _ESTIMATE_BELOW) * marks.shape[1]]
    best: Removal | None = None
    mine = shingles(item)
    for other in others.tolist():
        similarity = jaccard(mine, shingles(other))
        if similarity >= threshold and (best is None or similarity > best.similarity):
            best = Removal(item, other, similarity)
    return best


def jaccard(one: Hashes, other: Hashes) -> float:
    """The Jaccard similarity of two sets of shingles (each without repetition, not both empty)."""
    both = np.concatenate([one, other])
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)
