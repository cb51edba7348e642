"""Parquet shards: assigns documents to shards, and writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codecascade.corpus.documents import SCHEMA
from codecascade.corpus.engines.parts import BuildParts, part_file, read_arrow, write_batches
from codecascade.ground.files.atomic import atomic_file

GROUP_BYTES = 1_000_000
"""Bytes of text in a row group: a reader must decompress that much to read one document."""

SHARDS = "shards.arrow"
SPLITS = ("train", "heldout")
_LOCATIONS = pa.schema([("part", pa.int32()), ("row", pa.int32())])


def write_shard_plan(
    work: Path,
    parts: BuildParts,
    kept: NDArray[np.int64],
    heldout: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    shard_bytes: int,
) -> int:
    """Save which documents each shard contains, as one batch of locations per shard; returns the number of shards.

    Args:
        kept: (m,) the document numbers, ascending.
        heldout: (m,) whether each document is held out.
        sizes: (m,) bytes of each text.
    """
    part, row = parts.locate(kept)
    batches: list[pa.RecordBatch] = []
    names: list[str] = []
    for split, inside in zip(SPLITS, (~heldout, heldout), strict=True):
        members = np.flatnonzero(inside)
        # An empty split gets one shard without rows.
        for index, rows in enumerate(np.split(members, _ends(sizes[members], shard_bytes))):
            columns = [pa.array(part[rows], pa.int32()), pa.array(row[rows], pa.int32())]
            batches.append(pa.record_batch(columns, _LOCATIONS))
            names.append(f"{split}/{index:05}.parquet")
        (work / "out" / split).mkdir(parents=True, exist_ok=True)
    write_batches(work / SHARDS, _LOCATIONS.with_metadata({"names": " ".join(names)}), batches)
    return len(batches)


def _ends(sizes: NDArray[np.int64], limit: int) -> list[int]:
    """The indexes at which a new shard begins: after the document that fills the current one up to ``limit``
    bytes."""
    ends = []
    filled = 0
    for index, size in enumerate(sizes.tolist(), 1):
        filled += size
        if filled >= limit and index < len(sizes):
            ends.append(index)
            filled = 0
    return ends


def write_shard(work: str, number: int) -> int:
    """Write one shard, unless it exists; returns its bytes of text."""
    with pa.memory_map(str(Path(work, SHARDS))) as source:
        plan = pa.ipc.open_file(source)
        name = plan.schema.metadata[b"names"].decode().split(" ")[number]
        locations = plan.get_batch(number)
    file = Path(work, "out", name)
    if file.exists():
        return 0
    written = 0
    dictionary = ["repository", "language", "license", "kind", "revision"]
    with (
        atomic_file(file) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd", use_dictionary=dictionary) as writer,
    ):
        for group, size in row_groups(Path(work), locations):
            writer.write_table(group)
            written += size
    return written


def row_groups(work: Path, locations: pa.RecordBatch) -> Iterator[tuple[pa.Table, int]]:
    """The documents at these (ascending) locations, in tables of about ``GROUP_BYTES`` of text, with their bytes."""
    waiting: list[pa.Table] = []
    size = 0
    empty = True
    part, row = (np.asarray(column) for column in locations.columns)
    for number in np.unique(part).tolist():
        chosen = read_arrow(part_file(work, number)).take(row[part == number])
        sizes = np.asarray(pc.binary_length(chosen["text"]), np.int64)
        begin = 0
        for index, one in enumerate(sizes.tolist()):
            size += one
            if size >= GROUP_BYTES:
                empty = False
                yield pa.concat_tables([*waiting, chosen[begin : index + 1]]).combine_chunks(), size
                waiting, size, begin = [], 0, index + 1
        if begin < len(chosen):
            waiting.append(chosen[begin:])
    if waiting or empty:
        yield pa.concat_tables([SCHEMA.empty_table(), *waiting]).combine_chunks(), size
