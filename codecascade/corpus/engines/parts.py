"""Runs the per-document steps over all chosen candidates, part by part.

A part is a run of consecutive candidates with about 8 MB of text. Its result is written to a file of its own. So
parts can be made in any order by any number of processes, and a resumed build makes only the missing ones. The
number and content of the parts don't depend on who makes them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codecascade.corpus.documents import SCHEMA, content_id
from codecascade.corpus.output import dropped
from codecascade.corpus.reading.containers import FORWARD_READERS, CandidateContents
from codecascade.corpus.reading.read_step import STEP as READ
from codecascade.corpus.reading.read_step import read_documents
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.steps.decontamination import BenchmarkIndex
from codecascade.corpus.steps.step import ReadyStep, StepTally, run_steps
from codecascade.corpus.steps.table import document_steps
from codecascade.ground.files.atomic import atomic_file, atomic_write

BATCH_BYTES, BATCH_ROWS = 8_000_000, 4000
MOST_PARTS = 20_000

LISTING, PLAN, PARTS = "listing.arrow", "plan.json", "parts"


class PartsPlan(NamedTuple):
    """What the processes that make parts need, besides the table of candidates."""

    settings: CorpusSettings
    benchmarks: dict[str, str]
    parts: list[list[int]]
    """For each part: the rows of the listing at which its batches begin, then the row after its last one."""


def with_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same documents with their ids set."""
    ids = pa.array([content_id(text) for text in batch.column("text").to_pylist()], pa.string())
    column = batch.schema.get_field_index("id")
    return batch.set_column(column, batch.schema.field(column), ids)


def cut_into_parts(listing: pa.Table) -> list[list[int]]:
    """Divide the listing into parts, in the form of :attr:`PartsPlan.parts`.

    A container that can only be read forwards (a tar file) is never divided between parts, only between batches.
    """
    sizes = np.asarray(listing["size"])
    containers, readers = (listing[name].to_pylist() for name in ("container", "reader"))
    part_bytes = max(BATCH_BYTES, int(sizes.sum()) // MOST_PARTS) if len(sizes) else BATCH_BYTES
    parts: list[list[int]] = []
    starts = [0]
    batch_bytes = batch_rows = part_size = 0
    for row, size in enumerate(sizes.tolist()):
        if batch_rows and (batch_bytes + size > BATCH_BYTES or batch_rows >= BATCH_ROWS):
            inside = readers[row] in FORWARD_READERS and containers[row] == containers[row - 1]
            if part_size >= part_bytes // 2 and not inside:
                parts.append([*starts, row])
                starts, part_size = [row], 0
            else:
                starts.append(row)
            batch_bytes = batch_rows = 0
        batch_bytes += size
        batch_rows += 1
        part_size += size
    return [*parts, [*starts, len(sizes)]] if len(sizes) else parts


def write_plan(work: Path, listing: pa.Table, settings: CorpusSettings, benchmarks: dict[str, str]) -> int:
    """Save what :func:`make_part` needs; returns the number of parts."""
    (work / PARTS).mkdir(exist_ok=True)
    write_arrow(work / LISTING, listing)
    parts = cut_into_parts(listing)
    plan = {"settings": settings.model_dump(mode="json"), "benchmarks": benchmarks, "parts": parts}
    atomic_write(work / PLAN, json.dumps(plan))
    return len(parts)


@lru_cache(maxsize=1)
def _prepared(work: str, stamp: int) -> tuple[PartsPlan, list[ReadyStep]]:
    value = json.loads(Path(work, PLAN).read_text())
    plan = PartsPlan(
        CorpusSettings.model_validate_json(json.dumps(value["settings"])), value["benchmarks"], value["parts"]
    )
    return plan, document_steps(
        plan.settings, BenchmarkIndex(plan.benchmarks, plan.settings.benchmark_overlap)
    )


def make_part(work: str, number: int) -> int:
    """Run the steps over one part, unless its result exists; returns the bytes of its candidates."""
    plan, steps = _prepared(work, os.stat(Path(work, PLAN)).st_mtime_ns)
    starts = plan.parts[number]
    listing = read_arrow(Path(work, LISTING))
    size = int(np.asarray(listing["size"][starts[0] : starts[-1]]).sum())
    base = part_file(Path(work), number)
    done = base.with_suffix(".json")
    if done.exists():
        return size
    tally, dropped_batches, contents = StepTally(), [], CandidateContents()

    def batches() -> Iterator[pa.RecordBatch]:
        for start, end in pairwise(starts):
            candidates = listing[start:end].combine_chunks().to_batches()[0]
            outcome = read_documents(candidates, plan.settings, contents)
            tally.add(READ, outcome.kept)
            tally.decoded.update(outcome.decoded)
            kept, dropped_by_steps = run_steps(outcome.kept, steps, tally)
            dropped_batches.extend([outcome.dropped, *dropped_by_steps.to_batches()])
            yield with_ids(kept)

    with closing(contents):
        write_batches(base, SCHEMA, batches())
    write_arrow(base.with_suffix(".dropped"), pa.Table.from_batches(dropped_batches, dropped.SCHEMA))
    # Written last, because it marks the part as complete.
    atomic_write(done, json.dumps(tally.as_json()))
    return size


def part_file(work: Path, number: int) -> Path:
    """The file with the documents of a part."""
    return work / PARTS / f"{number:06}.arrow"


class BuildParts:
    """The results of all parts, memory-mapped; columns are read on demand."""

    def __init__(self, work: Path) -> None:
        files = sorted((work / PARTS).glob("*.json"))
        self.files = [file.with_suffix(".arrow") for file in files]
        self._dropped = [file.with_suffix(".dropped") for file in files]
        self.tally = StepTally()
        for file in files:
            self.tally.update(StepTally.from_json(json.loads(file.read_text())))
        self.rows: NDArray[np.int64] = np.array([read_arrow(file).num_rows for file in self.files], np.int64)

    def __len__(self) -> int:
        """The number of documents."""
        return int(self.rows.sum())

    def locate(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each document number: the index of its part, and its row in that part."""
        ends = np.cumsum(self.rows)
        part = np.searchsorted(ends, numbers, "right")
        return part, numbers - (ends - self.rows)[part]

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all documents."""
        chunks = [chunk for file in self.files for chunk in read_arrow(file)[name].chunks]
        return pa.chunked_array(chunks, pa.string())

    def tables(self) -> Iterator[tuple[int, pa.Table]]:
        """Each part's documents, with the number of the first one."""
        start = 0
        for file, rows in zip(self.files, self.rows.tolist(), strict=True):
            yield start, read_arrow(file)
            start += rows

    def dropped(self) -> pa.Table:
        return pa.concat_tables([dropped.SCHEMA.empty_table(), *map(read_arrow, self._dropped)])


def read_arrow(file: Path) -> pa.Table:
    """Read an Arrow file, memory-mapped."""
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()


def write_arrow(file: Path, table: pa.Table) -> None:
    """Write an Arrow file atomically."""
    write_batches(file, table.schema, table.to_batches())


def write_batches(
    file: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch]
) -> None:
    """Write an Arrow file atomically from batches that are produced one by one."""
    with (
        atomic_file(file) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
