"""Near-deduplication on Ray Data, with exactly the same result as on one machine.

Bands and rule come from :mod:`codecascade.corpus.steps.near`. Only the search for texts with common bands is
distributed::

    texts -> (band key, number) -> shuffle by key -> which numbers belong together -> components
    texts of components of two or more -> shuffle by component -> remove_near_duplicates on each part

Texts of different components share no band, so applying the rule within components gives the same result as over
all texts. Numbers and ranks are assigned before the first shuffle, and every choice depends on them. So the order
of blocks and the number of workers and partitions change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codecascade.corpus.steps.near.local import REMOVED, check_threshold, remove_near_duplicates, sketched
from codecascade.corpus.steps.near.shingles import blocks

if TYPE_CHECKING:
    import ray
    from ray.data import Dataset

Numbers = NDArray[np.int64]
PARTITIONS_PER_CPU = 2
"""Ray's default of 200 partitions takes longer to schedule than small data takes to process."""


def remove_near_duplicates_on_ray(
    documents: Dataset, *, threshold: float = 0.7, partitions: int | None = None
) -> pa.Table:
    """:func:`~codecascade.corpus.steps.near.remove_near_duplicates` for a data set with ``number, rank, text``.

    Args:
        documents: ``number`` (int64) is unique, and decides between equal ranks; ``rank`` has any type that Arrow
            can sort. The data set is read twice.
        threshold: in (0, 1].
        partitions: of both shuffles; None: two for each CPU of the cluster. The texts of one component must fit
            into the memory of a worker.

    Returns:
        The same table as the local function, with numbers.

    Raises:
        UserError: the threshold is out of range.
    """
    import ray

    check_threshold(threshold)
    partitions = partitions or max(1, int(PARTITIONS_PER_CPU * ray.cluster_resources().get("CPU", 1)))
    forest = (
        documents.select_columns(["number", "text"])
        .map_batches(band_rows, batch_format="pyarrow", batch_size=None, zero_copy_batch=True)
        .repartition(partitions, keys=["key"])
        .map_batches(linked, batch_format="pyarrow", batch_size=None)
    )
    links = [pa.table(batch) for batch in forest.iter_batches(batch_format="pyarrow", batch_size=None)]
    numbers, components = connected(_pairs(links))
    table = pa.table({"number": numbers, "component": components})
    removed = (
        documents.select_columns(["number", "rank", "text"])
        .map_batches(
            partial(_in_components, table=ray.put(table)),
            batch_format="pyarrow",
            batch_size=None,
            zero_copy_batch=True,
        )
        .repartition(partitions, keys=["component"])
        .map_batches(
            partial(remove_in_partition, threshold=threshold), batch_format="pyarrow", batch_size=None
        )
    )
    tables = [
        pa.table(batch).cast(REMOVED)
        for batch in removed.iter_batches(batch_format="pyarrow", batch_size=None)
    ]
    return pa.concat_tables([REMOVED.empty_table(), *tables]).combine_chunks().sort_by("removed")


def band_rows(batch: pa.Table) -> pa.Table:
    """A row of ``key`` and ``number`` for each band of each text that contains words."""
    keys, kept = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    numbers = batch.column("number").to_numpy()
    done = 0
    for chunk in batch.column("text").chunks:
        for block in blocks(chunk):
            _, sketch = sketched(*block)
            some = np.flatnonzero(sketch.sizes)
            keys.append(sketch.bands[some].ravel())
            kept.append(np.repeat(numbers[done + some], sketch.bands.shape[1]))
            done += len(sketch.sizes)
    return pa.table({"key": np.concatenate(keys), "number": np.concatenate(kept)})


def linked(batch: pa.Table) -> pa.Table:
    """Connects numbers with equal keys: ``number``, and as ``other`` the smallest number that it is connected to."""
    keys, numbers = batch.column("key").to_numpy(), batch.column("number").to_numpy()
    order = np.lexsort((numbers, keys))
    keys, numbers = keys[order], numbers[order]
    begins = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=begins[1:])
    firsts = numbers[begins][np.cumsum(begins) - 1]
    apart = numbers != firsts
    members, component = connected(np.stack([numbers[apart], firsts[apart]]))
    return pa.table({"number": members, "other": component})


def in_components(batch: pa.Table, table: pa.Table) -> pa.Table:
    """The rows whose ``number`` is in ``table`` (ascending), with the matching ``component``."""
    members, components = (column.to_numpy() for column in table.columns)
    numbers = batch.column("number").to_numpy()
    position = np.minimum(np.searchsorted(members, numbers), len(members) - 1)
    inside = np.flatnonzero(members[position] == numbers) if len(members) else np.empty(0, np.int64)
    return batch.take(inside).append_column("component", pa.array(components[position[inside]], pa.int64()))


def remove_in_partition(batch: pa.Table, threshold: float) -> pa.Table:
    """The near-duplicates within one partition of components."""
    batch = batch.sort_by("number")
    table = remove_near_duplicates(batch.column("text").chunks, batch.column("rank"), threshold=threshold)
    numbers = batch.column("number").to_numpy()
    removed, kept = (numbers[table.column(name).to_numpy()] for name in ("removed", "kept"))
    return pa.table([removed, kept, table.column("similarity")], schema=REMOVED)


def connected(pairs: Numbers) -> tuple[Numbers, Numbers]:
    """Connected components: all numbers of ``pairs`` (2, m), ascending, and the smallest number of each one's
    component.

    Each root is attached to the smallest root that it has an edge to, and all paths are compressed. A few rounds
    are enough for any shape (after Shiloach and Vishkin, 1982).
    """
    numbers, positions = np.unique(pairs, return_inverse=True)
    one, other = positions.reshape(2, -1)
    parent = np.arange(len(numbers))
    while True:
        low, high = np.minimum(parent[one], parent[other]), np.maximum(parent[one], parent[other])
        if not (low != high).any():
            return numbers, numbers[parent]
        np.minimum.at(parent, high, low)
        while (above := parent[parent]).tobytes() != parent.tobytes():
            parent = above


def _pairs(links: Iterable[pa.Table]) -> Numbers:
    columns = [np.stack([link.column(0).to_numpy(), link.column(1).to_numpy()]) for link in links]
    return np.concatenate([np.empty((2, 0), np.int64), *columns], axis=1)


def _in_components(batch: pa.Table, table: ray.ObjectRef[pa.Table]) -> pa.Table:
    import ray

    return in_components(batch, ray.get(table))
