"""Near-deduplication on one machine."""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from codecascade.corpus.steps.near.leaders import MOST_LEADERS, Buckets, buckets, find_removals
from codecascade.corpus.steps.near.shingles import Bytes, Hashes, Positions, ShingleSets, blocks, shingle_sets
from codecascade.corpus.steps.near.signatures import (
    BANDS,
    BINS,
    SignatureBytes,
    bands,
    signature_bytes,
    signatures,
)
from codecascade.ground.errors import UserError

Mode = Literal["minhash", "exact"]
REMOVED = pa.schema([("removed", pa.int64()), ("kept", pa.int64()), ("similarity", pa.float64())])


class Sketch(NamedTuple):
    """What is kept in memory of n texts besides their shingles, about 600 bytes for each text."""

    sizes: NDArray[np.int64]
    """(n,) the number of distinct shingles."""
    sums: Hashes
    """(n,) the sum of the shingles. Equal sets have equal sums; a collision has a chance of one in 2^64 per pair."""
    bands: Hashes
    """(n, bands) band keys."""
    marks: SignatureBytes
    """(n, bins) signature bytes."""


def remove_near_duplicates(
    texts: Iterable[pa.Array],
    ranks: pa.Array | pa.ChunkedArray | None = None,
    *,
    threshold: float = 0.7,
    mode: Mode = "minhash",
    workers: int = 1,
    folder: Path | None = None,
) -> pa.Table:
    """Finds the texts to remove because a similar text of better rank is kept.

    In the order of rank, a text is removed if its shingles have a Jaccard similarity of at least ``threshold`` with
    those of a kept text; else it is kept. Texts with equal shingles count as one, with the best of their ranks. A
    text without words is never a duplicate.

    Args:
        texts: chunks of strings (``table["text"].chunks``, or a generator that reads them one by one; only a few
            are in memory at a time); together n texts, numbered from 0.
        ranks: (n,) of any type that Arrow can sort (integers, strings, binary): of a group of near-duplicates the
            lowest is kept. Of equal ranks, and without ranks, the earlier text is kept.
        threshold: in (0, 1].
        mode: ``minhash`` compares texts that share a band of their MinHash signatures; ``exact`` misses nothing,
            and is for small sets and for tests.
        workers: threads.
        folder: for a temporary file of shingles (0.7 bytes for each byte of text); None: they stay in memory.

    Returns:
        ``removed`` (int64, ascending), ``kept`` (int64, the most similar kept text), ``similarity`` (float64).

    Raises:
        UserError: the threshold is out of range.
        ValueError: the number of ranks is not the number of texts.
    """
    check_threshold(threshold)
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile(dir=folder)) if folder else None
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        store = ShingleStore(file)
        sketch = _sketch(_sketched(texts, pool, workers + 1), store)
        if ranks is not None and len(ranks) != len(sketch.sizes):
            raise ValueError(f"{len(ranks)} ranks of {len(sketch.sizes)} texts")
        order = np.arange(len(sketch.sizes)) if ranks is None else sorted_by(ranks)
        return removed_table(sketch, store, order, threshold, mode)


def removed_table(
    sketch: Sketch, store: ShingleStore, order: Positions, threshold: float, mode: Mode
) -> pa.Table:
    """The table of :func:`remove_near_duplicates`, for texts in the order of rank ``order``."""
    order = order[sketch.sizes[order] > 0]
    first = _first_with_equal_shingles(sketch, order)
    items = order[first[order] == order]
    sizes = sketch.sizes[items]
    if mode == "exact":
        table, compared = prefix_buckets(store, items, sizes, threshold), None
    else:
        table, compared = _band_buckets(sketch, items), sketch.marks[items]
    goes_to, similarity = np.arange(len(first)), np.ones(len(first))
    for removal in find_removals(
        table,
        lambda item: store[items[item]],
        sizes,
        threshold,
        marks=compared,
        most_leaders=None if mode == "exact" else MOST_LEADERS,
    ):
        goes_to[items[removal.item]] = items[removal.kept]
        similarity[items[removal.item]] = removal.similarity
    goes_to, similarity = goes_to[first], similarity[first]
    removed = np.flatnonzero(goes_to != np.arange(len(goes_to)))
    return pa.table([removed, goes_to[removed], similarity[removed]], schema=REMOVED)


def check_threshold(threshold: float) -> None:
    """Raise :class:`~codecascade.ground.errors.UserError` unless the threshold is in (0, 1]."""
    if not 0 < threshold <= 1:
        raise UserError(
            f"must be more than 0 and at most 1 (got {threshold})", key="near-duplicate threshold"
        )


def sorted_by(ranks: pa.Array | pa.ChunkedArray) -> Positions:
    """The indexes of the texts in the order of rank; of equal ranks the earlier text comes first."""
    return np.asarray(pc.sort_indices(ranks), np.int64)


def sketched(data: Bytes, offsets: Positions) -> tuple[ShingleSets, Sketch]:
    """The shingles and the sketch of one block (:func:`~codecascade.corpus.steps.near.shingles.blocks`)."""
    sets = shingle_sets(data, offsets)
    sizes = np.diff(sets.offsets)
    sums = np.zeros(len(sizes), np.uint64)
    if len(sets.hashes):
        sums[sizes > 0] = np.add.reduceat(sets.hashes, sets.offsets[:-1][sizes > 0])
    values = signatures(sets)
    return sets, Sketch(sizes, sums, bands(values), signature_bytes(values))


class ShingleStore:
    """The shingles of texts, added block by block, in a file or in memory."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._blocks: list[Hashes] = []
        # The number of hashes before each block.
        self._starts: list[int] = []
        self._offsets: list[Positions] = [np.zeros(1, np.int64)]
        self._total = 0

    def add(self, sets: ShingleSets) -> None:
        if self._file:
            self._file.write(sets.hashes.data)
        elif len(sets.hashes):
            self._blocks.append(sets.hashes)
            self._starts.append(self._total)
        self._offsets.append(sets.offsets[1:] + self._total)
        self._total += len(sets.hashes)

    def finish(self) -> None:
        """Must be called between the last :meth:`add` and the first look-up."""
        self._offsets = [np.concatenate(self._offsets)]

    def __getitem__(self, text: int) -> Hashes:
        """The shingles of a text, ascending."""
        start, end = self._offsets[0][text : text + 2].tolist()
        if start == end:
            return np.empty(0, np.uint64)
        # Read, not memory-mapped, so that it does not stay in memory.
        if self._file:
            self._file.seek(8 * start)
            return np.frombuffer(self._file.read(8 * (end - start)), np.uint64)
        block = bisect_right(self._starts, start) - 1
        before = self._starts[block]
        return self._blocks[block][start - before : end - before]


def _sketched(
    texts: Iterable[pa.Array], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[ShingleSets, Sketch]]:
    """The sketches of all blocks, in their order; at most ``ahead`` are computed in advance."""
    waiting: deque[Future[tuple[ShingleSets, Sketch]]] = deque()
    for chunk in texts:
        for block in blocks(chunk):
            waiting.append(pool.submit(sketched, *block))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
    for future in waiting:
        yield future.result()


def _sketch(done: Iterable[tuple[ShingleSets, Sketch]], store: ShingleStore) -> Sketch:
    """One sketch for all blocks; their shingles are added to the store."""
    parts = [_NOTHING]
    for sets, sketch in done:
        store.add(sets)
        parts.append(sketch)
    store.finish()
    columns = list(zip(*parts, strict=True))
    parts.clear()
    # Column by column, so that only one of them is in memory twice.
    return Sketch(*(np.concatenate(columns.pop(0)) for _ in Sketch._fields))


def _first_with_equal_shingles(sketch: Sketch, order: Positions) -> Positions:
    """(n,): for each text of ``order`` the first text with the same shingles; for the others themselves."""
    first = np.arange(len(sketch.sizes))
    _, position, group = np.unique(sketch.sums[order], return_index=True, return_inverse=True)
    first[order] = order[position[group]]
    return first


def _band_buckets(sketch: Sketch, items: Positions) -> Buckets:
    own = np.arange(len(items))
    return buckets((sketch.bands[items, band] for band in range(BANDS)), [own] * BANDS, len(items))


def prefix_buckets(
    store: ShingleStore, items: Positions, sizes: NDArray[np.int64], threshold: float
) -> Buckets:
    """Buckets that are sure to bring every similar pair together: one for each of the rarest shingles of an item.

    Two sets with a Jaccard similarity of t share at least t of the larger one's n shingles. So they share at least
    one of the first n - tn + 1 shingles of both, in any common order (Chaudhuri et al. 2006). Rare shingles come
    first, because they give small buckets.
    """
    hashes = np.concatenate([np.empty(0, np.uint64), *(store[item] for item in items.tolist())])
    owner = np.repeat(np.arange(len(items)), sizes)
    _, kind, times = np.unique(hashes, return_inverse=True, return_counts=True)
    order = np.lexsort((hashes, times[kind], owner))
    position = np.arange(len(hashes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    prefix = sizes - np.ceil(sizes * threshold - 1e-9).astype(np.int64) + 1
    used = order[position < np.repeat(prefix, sizes)]
    return buckets([hashes[used]], [owner[used]], len(items))


_NOTHING = Sketch(
    np.empty(0, np.int64),
    np.empty(0, np.uint64),
    np.empty((0, BANDS), np.uint64),
    np.empty((0, BINS), np.uint8),
)
