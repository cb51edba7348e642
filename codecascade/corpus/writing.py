"""Parquet shards: which document goes into which, and their making."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codecascade.corpus.documents import SCHEMA
from codecascade.corpus.parts import Parts, read_arrow, whole, write_arrow

GROUP_BYTES = 1_000_000
"""Text in a row group: what a reader must decompress to get at one document."""

SHARDS = "shards.arrow"
SPLITS = ("train", "heldout")


def write_shard_plan(
    work: Path,
    kept: NDArray[np.int64],
    heldout: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    shard_bytes: int,
) -> int:
    """Save which document goes into which shard; returns the number of shards of both splits.

    Args:
        kept: (m,) numbers of the documents, in their order.
        heldout: (m,) which split each belongs to.
        sizes: (m,) bytes of text.
    """
    shard = np.zeros(len(kept), np.int32)
    split = heldout.astype(np.int8)
    total = 0
    names: list[tuple[int, int]] = []
    for which in (0, 1):
        members = np.flatnonzero(split == which)
        # a shard is closed by the document that fills it
        before = np.cumsum(sizes[members]) - sizes[members]
        number = _closed(sizes[members], shard_bytes) if len(members) else before
        shard[members] = number + total
        count = int(number[-1]) + 1 if len(members) else 1
        names += [(which, index) for index in range(count)]
        total += count
    table = pa.table({"number": pa.array(kept, pa.int64()), "shard": pa.array(shard, pa.int32())})
    metadata = {"names": " ".join(f"{which}/{index}" for which, index in names)}
    write_arrow(work / SHARDS, table.replace_schema_metadata(metadata))
    for name in SPLITS:
        (work / "out" / name).mkdir(parents=True, exist_ok=True)
    return total


def _closed(sizes: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """(m,) the running number of the bin of each, where a bin is closed as soon as it holds ``limit``."""
    bins = np.empty(len(sizes), np.int64)
    number = filled = 0
    for place, size in enumerate(sizes.tolist()):
        bins[place] = number
        filled += size
        if filled >= limit:
            number, filled = number + 1, 0
    return bins


def write_shard(work: str, number: int) -> int:
    """Write one shard, unless that is done; returns its bytes of text. An empty split has one shard without rows."""
    plan = read_arrow(Path(work, SHARDS))
    names = plan.schema.metadata[b"names"].decode().split(" ")
    which, index = map(int, names[number].split("/"))
    members = np.asarray(plan["number"])[np.asarray(plan["shard"]) == number]
    file = Path(work, "out", SPLITS[which], f"{index:05}.parquet")
    if file.exists():
        return 0
    written = 0

    def write(temporary: str) -> None:
        nonlocal written
        dictionary = ["repository", "language", "license", "kind", "revision"]
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd", use_dictionary=dictionary) as writer:
            for group, size in row_groups(Parts(Path(work)), members):
                writer.write_table(group)
                written += size

    whole(file, write)
    return written


def row_groups(parts: Parts, members: NDArray[np.int64]) -> Iterator[tuple[pa.Table, int]]:
    """The documents of these (ascending) numbers in tables of about ``GROUP_BYTES`` of text, with their bytes."""
    waiting: list[pa.Table] = []
    size = 0
    empty = True
    for start, table in parts.tables():
        inside = members[(members >= start) & (members < start + len(table))] - start
        if not len(inside):
            continue
        chosen = table.take(inside)
        sizes = np.asarray(pc.binary_length(chosen["text"]), np.int64)
        begin = 0
        for row, one in enumerate(sizes.tolist()):
            size += one
            if size >= GROUP_BYTES:
                empty = False
                yield pa.concat_tables([*waiting, chosen[begin : row + 1]]).combine_chunks(), size
                waiting, size, begin = [], 0, row + 1
        if begin < len(chosen):
            waiting.append(chosen[begin:])
    if waiting or empty:
        yield pa.concat_tables([SCHEMA.empty_table(), *waiting]).combine_chunks(), size
